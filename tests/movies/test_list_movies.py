"""GET /movies: pagination, filters and order."""
# ruff: noqa: RUF001  the test data contains look-alike characters

from unittest.mock import ANY
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text

from movies_api.movies import pagination

from ..conftest import engine_for

BEYOND_64_BITS = str(2**70)


def add(client, *movies):
    """Create movies, each a title or (title, year); return them, oldest first."""
    fields = [
        {"title": movie}
        if isinstance(movie, str)
        else dict(zip(("title", "year"), movie, strict=True))
        for movie in movies
    ]
    responses = [client.post("/movies", json=each) for each in fields]
    assert {response.status_code for response in responses} == {201}
    return [response.json for response in responses]


def titles(client, query=""):
    """List the titles that a query returns."""
    response = client.get(f"/movies{query}")
    assert response.status_code == 200, response.text
    return [movie["title"] for movie in response.json["items"]]


def links(response):
    """Return the targets of the Link header by relation, without the base of the service."""
    pairs = [part.split(">; rel=") for part in response.headers["Link"].split(", ")]
    assert all(target.startswith("<http://localhost/movies?") for target, _ in pairs)
    return {
        relation.strip('"'): target.removeprefix("<http://localhost") for target, relation in pairs
    }


def test_empty_collection_returns_empty_page(alice):
    response = alice.get("/movies")

    assert response.status_code == 200
    assert response.json == {
        "items": [],
        "meta": {"page": 1, "limit": 20, "total": 0, "totalPages": 0, "nextCursor": None},
    }


def test_movies_are_listed_newest_first(alice):
    first, second, third = add(alice, "Alien", "Brazil", "Casablanca")

    response = alice.get("/movies")

    assert response.status_code == 200
    assert response.json == {
        "items": [third, second, first],
        "meta": {"page": 1, "limit": 20, "total": 3, "totalPages": 1, "nextCursor": None},
    }


def test_list_contains_only_own_movies(alice, bob):
    add(alice, "Alien")
    add(bob, "Brazil", "Casablanca")

    assert titles(alice) == ["Alien"]
    assert titles(bob, "?sort=title") == ["Brazil", "Casablanca"]
    assert bob.get("/movies?search=alien").json["meta"]["total"] == 0
    assert alice.get("/movies").json["meta"]["total"] == 1


@pytest.fixture
def seven_movies(alice):
    """Seven movies of Alice's, oldest first."""
    return add(alice, *(f"Movie {number}" for number in range(1, 8)))


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_contain_each_movie_once(alice, seven_movies, limit):
    shown = []
    for page in range(1, -(-7 // limit) + 1):
        response = alice.get(f"/movies?page={page}&limit={limit}")
        assert response.status_code == 200
        meta = {
            "page": page,
            "limit": limit,
            "total": 7,
            "totalPages": -(-7 // limit),
            "nextCursor": ANY,
        }
        assert response.json["meta"] == meta
        shown += response.json["items"]

    assert shown == seven_movies[::-1]


def test_page_past_the_end_is_empty(alice, seven_movies):
    response = alice.get("/movies?page=4&limit=3")

    assert response.status_code == 200
    assert response.json["items"] == []
    assert response.json["meta"] == {
        "page": 4,
        "limit": 3,
        "total": 7,
        "totalPages": 3,
        "nextCursor": None,
    }


def test_pages_of_equal_sort_keys_contain_each_movie_once(alice, database, seven_movies):
    database.execute("UPDATE movies SET created_at = (SELECT min(created_at) FROM movies)")

    for query in ("", "sort=createdAt&", "sort=year&", "sort=-year&", "sort=year,-createdAt&"):
        pages = [titles(alice, f"?{query}limit=2&page={page}") for page in range(1, 5)]
        assert sorted(title for page in pages for title in page) == [
            f"Movie {number}" for number in range(1, 8)
        ]


@pytest.mark.parametrize("sort", ["-createdAt", "title", "-year,title", "year,-title"])
def test_deep_page_continues_the_previous_page(alice, monkeypatch, sort):
    add(alice, *((f"Movie {n % 3}", None if n % 4 == 0 else str(1990 + n % 2)) for n in range(9)))
    whole = alice.get(f"/movies?sort={sort}").json["items"]
    monkeypatch.setattr(pagination, "DEEP_OFFSET", 1)

    for query in (f"sort={sort}", f"sort={sort}&search=movie&yearFrom=0001"):
        pages = [alice.get(f"/movies?{query}&limit=2&page={page}").json for page in range(2, 6)]
        expected = [movie for movie in whole if movie["year"] or "yearFrom" not in query]
        assert [movie for page in pages for movie in page["items"]] == expected[2:]


def test_link_header_contains_adjacent_pages(alice, seven_movies):
    found = links(alice.get("/movies?page=2&limit=2&sort=title"))

    assert set(found) == {"first", "prev", "next", "last"}
    assert titles(alice, found["first"].removeprefix("/movies")) == ["Movie 1", "Movie 2"]
    assert titles(alice, found["prev"].removeprefix("/movies")) == ["Movie 1", "Movie 2"]
    assert titles(alice, found["next"].removeprefix("/movies")) == ["Movie 5", "Movie 6"]
    assert titles(alice, found["last"].removeprefix("/movies")) == ["Movie 7"]


def test_link_header_contains_the_trimmed_search(alice, seven_movies):
    blank = "+" * 2000

    assert len(alice.get(f"/movies?search={blank}movie{blank}&limit=2").headers["Link"]) < 500


def test_link_header_omits_missing_pages(alice, seven_movies):
    assert set(links(alice.get("/movies?limit=100"))) == {"first", "last"}
    assert set(links(alice.get("/movies?limit=3"))) == {"first", "next", "last"}
    assert set(links(alice.get("/movies?limit=3&page=3"))) == {"first", "prev", "last"}
    past = links(alice.get("/movies?limit=3&page=9"))
    assert set(past) == {"first", "prev", "last"}
    assert titles(alice, past["prev"].removeprefix("/movies")) == ["Movie 1"]


def test_links_are_absolute_behind_a_proxy(make_app):
    alice = make_app(PROXY_HOPS="1").test_client().sign_up("Alice")

    response = alice.get("/movies", headers={"X-Forwarded-Proto": "https"})

    assert response.headers["Link"].startswith("<https://localhost/movies?page=1>; ")


EMPTY = ("page", "limit", "search", "year", "yearFrom", "yearTo", "ratingFrom", "ratingTo", "watched", "sort", "cursor")  # fmt: skip


@pytest.mark.parametrize("blank", ["", "%20", "+"])
def test_an_empty_parameter_is_the_same_as_none(alice, seven_movies, blank):
    plain = alice.get("/movies")

    response = alice.get(f"/movies?{'&'.join(f'{name}={blank}' for name in EMPTY)}")

    assert response.status_code == 200
    assert response.json == plain.json
    assert response.headers["Link"] == plain.headers["Link"]
    assert alice.get("/movies/export?format=").json == alice.get("/movies/export").json
    assert list(alice.get("/movies?serach=").json["error"]["details"]) == ["serach"]
    assert alice.get("/movies?page=&page=").status_code == 400


def test_link_header_keeps_the_query(alice):
    add(alice, *(f"Tom & Jerry {number}" for number in range(3)))

    found = links(alice.get("/movies?search=tom+%26&limit=1&sort=-title&yearFrom="))

    assert parse_qs(urlsplit(found["next"]).query)["search"] == ["tom &"]
    assert titles(alice, found["next"].removeprefix("/movies")) == ["Tom & Jerry 1"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("year=1979", ["Alien"]),
        ("yearFrom=1979", ["Alien", "Brazil", "Contact"]),
        ("yearTo=1985", ["Alien", "Brazil", "Metropolis"]),
        ("yearFrom=1980&yearTo=1990", ["Brazil"]),
        ("yearFrom=1979&yearTo=1979", ["Alien"]),
        ("yearFrom=1990&yearTo=1980", []),
        ("year=1979&yearFrom=1980", []),
        ("year=1979&search=alien", ["Alien"]),
        ("year=1979&search=brazil", []),
        ("yearFrom=0000&yearTo=9999", ["Alien", "Brazil", "Contact", "Metropolis"]),
    ],
)
def test_list_can_be_filtered_by_year(alice, query, expected):
    add(
        alice,
        ("Metropolis", "1927"),
        ("Alien", "1979"),
        ("Brazil", "1985"),
        ("Contact", "1997"),
        "Year unknown",
    )

    response = alice.get(f"/movies?{query}&sort=title")

    assert response.status_code == 200
    assert [movie["title"] for movie in response.json["items"]] == expected
    assert response.json["meta"]["total"] == len(expected)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("ratingFrom=9", ["Alien"]),
        ("ratingTo=9", ["Alien", "Brazil"]),
        ("ratingFrom=1&ratingTo=8", ["Brazil"]),
        ("ratingFrom=9&ratingTo=8", []),
        ("watched=true", ["Alien", "Contact"]),
        ("watched=false", ["Brazil", "Unknown"]),
        ("watched=true&ratingFrom=1", ["Alien"]),
        ("watched=false&search=unknown", ["Unknown"]),
    ],
)
@pytest.mark.parametrize("small", [pagination.SMALL_COLLECTION, -1])
def test_list_can_be_filtered_by_rating_and_watched(alice, monkeypatch, small, query, expected):
    monkeypatch.setattr(pagination, "SMALL_COLLECTION", small)
    for fields in (
        {"title": "Unknown"},
        {"title": "Contact", "watchedOn": "1997-07-11"},
        {"title": "Brazil", "rating": 1},
        {"title": "Alien", "rating": 9, "watchedOn": "1979-10-25"},
    ):
        alice.post("/movies", json=fields)

    response = alice.get(f"/movies?{query}")

    assert response.status_code == 200
    assert [movie["title"] for movie in response.json["items"]] == expected
    assert response.json["meta"]["total"] == len(expected)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=x", "page"),
        ("page=1.5", "page"),
        ("page=%00", "page"),
        ("page=１", "page"),
        ("page=1e3", "page"),
        ("page=+1", "page"),
        (f"page={BEYOND_64_BITS}", "page"),
        ("page=" + "9" * 5000, "page"),
        ("page=1&page=2", "page"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        (f"limit={BEYOND_64_BITS}", "limit"),
        ("year=79", "year"),
        ("year=x", "year"),
        ("year=-197", "year"),
        ("yearFrom=19790", "yearFrom"),
        ("yearTo=１９７９", "yearTo"),
        ("sort=notes", "sort"),
        ("ratingFrom=0", "ratingFrom"),
        ("ratingTo=11", "ratingTo"),
        ("rating=5", "rating"),
        ("watched=yes", "watched"),
        ("watched=1", "watched"),
        ("sort=-", "sort"),
        ("sort=--title", "sort"),
        ("sort=title,", "sort"),
        ("sort=title,title", "sort"),
        ("sort=title,-title", "sort"),
        ("sort=id", "sort"),
        ("sort=owner_id;drop table movies", "sort"),
        ("search=%00", "search"),
        ("search=" + "x" * 256, "search"),
        ("serach=alien", "serach"),
        ("Page=1", "Page"),
        ("year_from=1979", "year_from"),
        ("=1", ""),
    ],
)
def test_invalid_list_parameter_returns_400(alice, query, name):
    response = alice.get(f"/movies?{query}")

    assert response.status_code == 400
    assert response.json["error"]["code"] == "VALIDATION_ERROR"
    assert list(response.json["error"]["details"]) == [name]


def test_all_invalid_list_parameters_are_reported(alice):
    response = alice.get("/movies?page=0&limit=101&serach=alien")

    assert response.status_code == 400
    assert set(response.json["error"]["details"]) == {"page", "limit", "serach"}


def test_largest_page_number_returns_empty_page(alice):
    response = alice.get(f"/movies?page={2**53 - 1}&limit=100")

    assert response.status_code == 200
    assert response.json["items"] == []


def test_head_of_movie_list_matches_get(alice, seven_movies):
    get, head = alice.get("/movies?limit=2"), alice.head("/movies?limit=2")

    assert head.status_code == 200
    assert head.data == b""
    for name in ("ETag", "Link", "Content-Type", "Content-Length"):
        assert head.headers[name] == get.headers[name]
    assert alice.head("/movies?limit=0").status_code == 400


def test_total_counts_created_and_deleted_movies(alice, seven_movies):
    alice.delete(f"/movies/{seven_movies[0]['id']}")
    alice.delete(f"/movies/{seven_movies[0]['id']}")
    alice.post("/movies", json={"title": ""})
    add(alice, "Movie 8")

    assert alice.get("/movies").json["meta"]["total"] == 7
    assert alice.get("/movies?search=movie").json["meta"]["total"] == 7


def test_total_counts_rows_changed_outside_the_api(alice, bob, seven_movies, database):
    add(bob, "His")
    copy = "INSERT INTO movies (owner_id, title, year, search_key, title_key, created_at, updated_at) SELECT owner_id, title, year, search_key, title_key, created_at, updated_at FROM movies"

    def totals():
        return [client.get("/movies").json["meta"]["total"] for client in (alice, bob)]

    database.execute(copy)
    assert totals() == [14, 2]
    database.execute("DELETE FROM movies WHERE title IN ('Movie 1', 'Movie 2', 'His')")
    assert totals() == [10, 0]
    with engine_for(database.url).connect() as connection:
        connection.execute(text(copy))
        connection.rollback()
    assert totals() == [10, 0]


@pytest.mark.only_on("postgresql")
def test_times_are_utc_in_any_server_time_zone(alice, database, make_app, request):
    name = database.url.rpartition("/")[2]
    movie = alice.post("/movies", json={"title": "Alien"}).json
    request.addfinalizer(lambda: database.execute(f"ALTER DATABASE {name} RESET timezone"))
    database.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'")
    client = make_app().test_client()  # with new connections
    client.token = alice.token

    assert client.get("/movies").json["items"] == [movie]
    assert client.get(f"/movies/{movie['id']}").json == movie
    assert movie["createdAt"].endswith("Z")
