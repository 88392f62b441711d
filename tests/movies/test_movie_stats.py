"""GET /movies/stats: statistics of the caller's movies."""

import random
from collections import Counter
from datetime import UTC, date, datetime

DAY = datetime(2024, 1, 15, 12, tzinfo=UTC)


def model(movies, today):
    """Return the statistics as documented, computed in Python."""
    ratings = [movie["rating"] for movie in movies if movie.get("rating")]
    decades = Counter(movie["year"][:3] + "0" for movie in movies if movie.get("year"))
    watched = Counter(movie["watchedOn"][:7] for movie in movies if movie.get("watchedOn"))
    months, year, month = [], today.year, today.month
    while len(months) < 12:
        months.insert(0, f"{year:04}-{month:02}")
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
    return {
        "total": len(movies),
        "rated": len(ratings),
        "averageRating": round(sum(ratings) / len(ratings), 1) if ratings else None,
        "watched": sum(watched.values()),
        "byDecade": [{"decade": name, "count": decades[name]} for name in sorted(decades)],
        "watchedByMonth": [{"month": name, "count": watched[name]} for name in months],
    }


def test_stats_of_empty_collection_have_twelve_empty_months(alice):
    response = alice.get("/movies/stats")

    assert response.status_code == 200
    assert response.json == model([], datetime.now(UTC))
    assert response.json["averageRating"] is None


def test_stats_match_a_model(alice, bob, clock):
    clock.ahead = DAY - datetime.now(UTC)  # January: the months begin in the previous year
    alice.log_in(alice.user["email"])
    bob.log_in(bob.user["email"])
    bob.post(
        "/movies", json={"title": "His", "year": "1979", "rating": 1, "watchedOn": "2024-01-02"}
    )
    rng, movies = random.Random(7), []
    first = date(2022, 11, 1).toordinal()
    for number in range(60):
        movies.append(
            {
                "title": f"Movie {number}",
                "year": rng.choice([None, "0000", "1895", "1899", "1979", "2024", "9999"]),
                "rating": rng.choice([None, *range(1, 11)]),
                "watchedOn": rng.choice(
                    [None, str(date.fromordinal(first + rng.randrange(440))), "2024-01-16"]
                ),
            }
        )
        assert alice.post("/movies", json=movies[-1]).status_code == 201

        if number % 12 == 0:
            assert alice.get("/movies/stats").json == model(movies, DAY)

    response = alice.get("/movies/stats")

    assert response.status_code == 200
    assert response.json == model(movies, DAY)


def test_stats_count_a_date_of_next_month_only_in_the_total(alice, clock):
    clock.ahead = datetime(2024, 1, 31, 12, tzinfo=UTC) - datetime.now(UTC)
    alice.log_in(alice.user["email"])
    alice.post("/movies", json={"title": "Alien", "watchedOn": "2024-02-01"})

    found = alice.get("/movies/stats").json

    assert found["watched"] == 1
    assert {month["count"] for month in found["watchedByMonth"]} == {0}


def test_stats_need_two_statements_after_authentication(alice):
    alice.get("/movies/stats")

    assert len(alice.statements) == 3


def test_stats_reject_parameters_and_anonymous_clients(alice, client):
    assert alice.get("/movies/stats?year=1979").status_code == 400
    assert client.get("/movies/stats").status_code == 401
