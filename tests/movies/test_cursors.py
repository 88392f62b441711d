"""GET /movies?cursor=: pages whose cost does not grow with depth."""

import pytest

from ..servers import SECRET_KEY
from .test_list_movies import add, links

SORTS = [
    "-createdAt",
    "createdAt",
    "title",
    "-title",
    "year",
    "-year,title",
    "year,-title",
    "-updatedAt,year",
]
SORTS += ["year,title,createdAt", "-title,year,-createdAt"]
SORTS += ["rating", "-rating", "watchedOn", "-watchedOn", "-rating,watchedOn", "-watchedOn,title"]


def walk(person, query):
    """Follow nextCursor from the first page to the end; return the pages."""
    response = person.get(f"/movies?{query}")
    pages = [response.json["items"]]
    while cursor := response.json["meta"]["nextCursor"]:
        assert len(pages) < 100
        response = person.get(f"/movies?{query}&cursor={cursor}")
        assert response.status_code == 200, response.text
        assert set(response.json["meta"]) == {"limit", "nextCursor"}
        pages.append(response.json["items"])
    return pages


@pytest.fixture
def shelf(alice):
    """Nine movies, some of one title, year, rating or date, or without."""
    fields = (
        {
            "title": f"Movie {n % 3}",
            "year": None if n % 4 == 0 else str(1990 + n % 2),
            "rating": (None, 3, 7, 7)[n % 4],
            "watchedOn": ("2024-05-31", None, "1999-12-31", None, "2024-05-31")[n % 5],
        }
        for n in range(9)
    )
    return [alice.post("/movies", json=each).json for each in fields]


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("limit", [1, 2, 9])
def test_a_walk_shows_what_one_page_would(alice, shelf, sort, limit):
    whole = alice.get(f"/movies?sort={sort}&limit=100").json["items"]

    pages = walk(alice, f"sort={sort}&limit={limit}")

    assert [movie for page in pages for movie in page] == whole
    assert len(pages) == -(-9 // limit)


def test_a_walk_keeps_the_filter(alice, shelf):
    pages = walk(alice, "search=movie+1&yearFrom=1990&limit=1")

    assert [movie["title"] for page in pages for movie in page] == ["Movie 1"] * len(pages)
    assert len(pages) == alice.get("/movies?search=movie+1&yearFrom=1990").json["meta"]["total"]


@pytest.mark.parametrize("search", ["movie", "movie 1", "1", "e m", "1990"])
@pytest.mark.parametrize("limit", [1, 2, 3, 9])
def test_a_walk_by_relevance_shows_what_one_page_would(alice, search, limit):
    add(
        alice,
        "Movie 1",
        "A Movie",
        "One Movie 1",
        ("Late", "1990"),
        "Movie",
        "1 Movie",
        "The Movie 1",
    )
    add(alice, "Movie", "movie 1")
    whole = alice.get(f"/movies?search={search}&limit=100").json["items"]

    pages = walk(alice, f"search={search}&limit={limit}")
    numbered = [
        alice.get(f"/movies?search={search}&limit={limit}&page={page + 1}").json["items"]
        for page in range(len(pages))
    ]

    assert [movie for page in pages for movie in page] == whole
    assert numbered == pages


@pytest.mark.parametrize("sort", ["-createdAt", "updatedAt", "createdAt,-title", "-updatedAt,year"])
def test_a_walk_shows_rows_of_one_moment_once(alice, shelf, database, sort):
    database.execute(
        "UPDATE movies SET created_at = '2026-01-31 12:00:00.000000', updated_at = '2026-01-31 12:00:00.000000'"
    )
    whole = alice.get(f"/movies?sort={sort}").json["items"]

    pages = walk(alice, f"sort={sort}&limit=2")

    assert [movie for page in pages for movie in page] == whole
    assert len({movie["id"] for movie in whole}) == 9


def test_a_cursor_outlives_a_rotation_of_the_keys(alice, shelf, make_app):
    cursor = alice.get("/movies?limit=3").json["meta"]["nextCursor"]
    newer = make_app(SECRET_KEY=f"newer-0f3c9b1d7e5a4286b8d2c6f4a1e09753,{SECRET_KEY}")
    client = newer.test_client()
    client.token = alice.token

    response = client.get(f"/movies?limit=3&cursor={cursor}")

    assert response.json["items"] == shelf[::-1][3:6]


def test_a_walk_loses_nobody_when_rows_come_and_go(alice, shelf):
    first = alice.get("/movies?limit=3").json
    add(alice, "New")
    alice.delete(f"/movies/{first['items'][-1]['id']}")

    rest = alice.get(f"/movies?limit=100&cursor={first['meta']['nextCursor']}").json["items"]

    assert rest == shelf[::-1][3:]


def test_the_links_follow_the_cursor(alice, shelf):
    cursor = alice.get("/movies?limit=3").json["meta"]["nextCursor"]

    response = alice.get(f"/movies?limit=3&cursor={cursor}")

    found = links(response)
    assert set(found) == {"first", "next"}
    assert response.json["meta"]["nextCursor"] in found["next"]
    assert alice.get(found["next"]).json["items"] == shelf[::-1][6:]


def test_a_cursor_shows_nothing_of_another_person(alice, bob, shelf):
    add(bob, "His")
    cursor = alice.get("/movies?limit=3").json["meta"]["nextCursor"]

    response = bob.get(f"/movies?cursor={cursor}")

    assert response.status_code in (200, 400)
    assert "Movie" not in str(response.json.get("items"))


def test_rejects_a_cursor_that_was_altered(alice, shelf):
    cursor = alice.get("/movies?limit=3").json["meta"]["nextCursor"]

    swapped = cursor[:2].swapcase() + cursor[2:]
    for altered in (
        "x",
        ".",
        "\0",
        "ä",
        cursor[:-2],
        cursor + "A",
        cursor[::-1],
        cursor + "=",
        cursor + "!!",
        *(cursor[:-1] + last for last in "AEIMQUYcgkosw048BCDFGH" if last != cursor[-1]),
        swapped,
        "A" * 5000,
    ):
        response = alice.get("/movies", query_string={"limit": 3, "cursor": altered})
        assert response.status_code == 400
        assert list(response.json["error"]["details"]) == ["cursor"]


def test_rejects_a_cursor_of_another_order(alice, shelf):
    cursor = alice.get("/movies?limit=3&sort=title").json["meta"]["nextCursor"]

    response = alice.get(f"/movies?limit=3&sort=year&cursor={cursor}")

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["cursor"]


@pytest.mark.parametrize(
    ("query", "other"),
    [
        ("search=movie", ""),
        ("search=movie", "search=movie+1"),
        ("search=movie", "search=movie&sort=-createdAt"),
        ("yearFrom=1990", "yearFrom=1991"),
        ("yearFrom=1990", "year=1990"),
        ("", "ratingFrom=1"),
        ("", "watched=false"),
    ],
)
def test_rejects_a_cursor_of_another_search_or_filter(alice, shelf, query, other):
    cursor = alice.get(f"/movies?limit=1&{query}").json["meta"]["nextCursor"]

    assert alice.get(f"/movies?limit=2&{query}&cursor={cursor}").status_code == 200
    response = alice.get(f"/movies?limit=2&{other}&cursor={cursor}")

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["cursor"]


def test_rejects_a_cursor_together_with_a_page(alice, shelf):
    cursor = alice.get("/movies?limit=3").json["meta"]["nextCursor"]

    response = alice.get(f"/movies?page=2&cursor={cursor}")

    assert response.status_code == 400
    assert set(response.json["error"]["details"]) <= {"cursor", "page"}
