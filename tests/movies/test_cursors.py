"""GET /movies?cursor=: keyset pagination."""

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


def walk(client, query):
    """Follow nextCursor from the first page to the end; return the pages."""
    response = client.get(f"/movies?{query}")
    pages = [response.json["items"]]
    while cursor := response.json["meta"]["nextCursor"]:
        assert len(pages) < 100
        response = client.get(f"/movies?{query}&cursor={cursor}")
        assert response.status_code == 200, response.text
        assert set(response.json["meta"]) == {"limit", "nextCursor"}
        pages.append(response.json["items"])
    return pages


@pytest.fixture
def movies(alice):
    """Nine movies, some with equal or missing values."""
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
def test_cursor_pages_match_a_single_page(alice, movies, sort, limit):
    whole = alice.get(f"/movies?sort={sort}&limit=100").json["items"]

    pages = walk(alice, f"sort={sort}&limit={limit}")

    assert [movie for page in pages for movie in page] == whole
    assert len(pages) == -(-9 // limit)


def test_cursor_keeps_the_filter(alice, movies):
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
def test_cursor_returns_rows_with_equal_times_once(alice, movies, database, sort):
    database.execute(
        "UPDATE movies SET created_at = '2026-01-31 12:00:00.000000', updated_at = '2026-01-31 12:00:00.000000'"
    )
    whole = alice.get(f"/movies?sort={sort}").json["items"]

    pages = walk(alice, f"sort={sort}&limit=2")

    assert [movie for page in pages for movie in page] == whole
    assert len({movie["id"] for movie in whole}) == 9


def test_cursor_remains_valid_after_key_rotation(alice, movies, make_app):
    cursor = alice.get("/movies?limit=3").json["meta"]["nextCursor"]
    newer = make_app(SECRET_KEY=f"newer-0f3c9b1d7e5a4286b8d2c6f4a1e09753,{SECRET_KEY}")
    client = newer.test_client()
    client.token = alice.token

    response = client.get(f"/movies?limit=3&cursor={cursor}")

    assert response.json["items"] == movies[::-1][3:6]


def test_cursor_skips_no_rows_after_inserts_and_deletes(alice, movies):
    first = alice.get("/movies?limit=3").json
    add(alice, "New")
    alice.delete(f"/movies/{first['items'][-1]['id']}")

    rest = alice.get(f"/movies?limit=100&cursor={first['meta']['nextCursor']}").json["items"]

    assert rest == movies[::-1][3:]


def test_link_header_contains_the_next_cursor(alice, movies):
    cursor = alice.get("/movies?limit=3").json["meta"]["nextCursor"]

    response = alice.get(f"/movies?limit=3&cursor={cursor}")

    found = links(response)
    assert set(found) == {"first", "next"}
    assert response.json["meta"]["nextCursor"] in found["next"]
    assert alice.get(found["next"]).json["items"] == movies[::-1][6:]


def test_cursor_of_another_user_reveals_no_movies(alice, bob, movies):
    add(bob, "His")
    cursor = alice.get("/movies?limit=3").json["meta"]["nextCursor"]

    response = bob.get(f"/movies?cursor={cursor}")

    assert response.status_code in (200, 400)
    assert "Movie" not in str(response.json.get("items"))


def test_tampered_cursor_returns_400(alice, movies):
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


def test_cursor_of_another_sort_order_returns_400(alice, movies):
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
def test_rejects_a_cursor_of_another_search_or_filter(alice, movies, query, other):
    cursor = alice.get(f"/movies?limit=1&{query}").json["meta"]["nextCursor"]

    assert alice.get(f"/movies?limit=2&{query}&cursor={cursor}").status_code == 200
    response = alice.get(f"/movies?limit=2&{other}&cursor={cursor}")

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["cursor"]


def test_cursor_with_page_returns_400(alice, movies):
    cursor = alice.get("/movies?limit=3").json["meta"]["nextCursor"]

    response = alice.get(f"/movies?page=2&cursor={cursor}")

    assert response.status_code == 400
    assert set(response.json["error"]["details"]) <= {"cursor", "page"}
