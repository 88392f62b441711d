"""GET /movies: pages, filters, and the order."""
# ruff: noqa: RUF001  look-alikes are among what people type

from unittest.mock import ANY
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text

from movies_api.movies import pagination

from ..conftest import engine_for

BEYOND_64_BITS = str(2**70)


def add(person, *movies):
    """Add movies, each a title or (title, year); return them, oldest first."""
    fields = [
        {"title": movie}
        if isinstance(movie, str)
        else dict(zip(("title", "year"), movie, strict=True))
        for movie in movies
    ]
    answers = [person.post("/movies", json=each) for each in fields]
    assert {answer.status_code for answer in answers} == {201}
    return [answer.json for answer in answers]


def titles(person, query=""):
    """List the titles that a query gives."""
    response = person.get(f"/movies{query}")
    assert response.status_code == 200, response.text
    return [movie["title"] for movie in response.json["items"]]


def links(response):
    """Return the targets of the Link header by relation, without the base of the service."""
    pairs = [part.split(">; rel=") for part in response.headers["Link"].split(", ")]
    assert all(target.startswith("<http://localhost/movies?") for target, _ in pairs)
    return {
        relation.strip('"'): target.removeprefix("<http://localhost") for target, relation in pairs
    }


def test_an_empty_collection_is_a_page_without_items(alice):
    response = alice.get("/movies")

    assert response.status_code == 200
    assert response.json == {
        "items": [],
        "meta": {"page": 1, "limit": 20, "total": 0, "totalPages": 0, "nextCursor": None},
    }


def test_lists_the_newest_first(alice):
    first, second, third = add(alice, "Alien", "Brazil", "Casablanca")

    response = alice.get("/movies")

    assert response.status_code == 200
    assert response.json == {
        "items": [third, second, first],
        "meta": {"page": 1, "limit": 20, "total": 3, "totalPages": 1, "nextCursor": None},
    }


def test_lists_ones_own_movies_only(alice, bob):
    add(alice, "Alien")
    add(bob, "Brazil", "Casablanca")

    assert titles(alice) == ["Alien"]
    assert titles(bob, "?sort=title") == ["Brazil", "Casablanca"]
    assert bob.get("/movies?search=alien").json["meta"]["total"] == 0
    assert alice.get("/movies").json["meta"]["total"] == 1


@pytest.fixture
def seven(alice):
    """Seven movies of Alice's, oldest first."""
    return add(alice, *(f"Movie {number}" for number in range(1, 8)))


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_show_each_movie_once(alice, seven, limit):
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

    assert shown == seven[::-1]


def test_a_page_past_the_end_is_empty(alice, seven):
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


def test_the_order_ends_in_id_so_that_equal_keys_lose_nobody(alice, database, seven):
    database.execute("UPDATE movies SET created_at = (SELECT min(created_at) FROM movies)")

    for query in ("", "sort=createdAt&", "sort=year&", "sort=-year&", "sort=year,-createdAt&"):
        pages = [titles(alice, f"?{query}limit=2&page={page}") for page in range(1, 5)]
        assert sorted(title for page in pages for title in page) == [
            f"Movie {number}" for number in range(1, 8)
        ]


@pytest.mark.parametrize("sort", ["-createdAt", "title", "-year,title", "year,-title"])
def test_a_deep_page_shows_what_follows_the_one_before(alice, monkeypatch, sort):
    add(alice, *((f"Movie {n % 3}", None if n % 4 == 0 else str(1990 + n % 2)) for n in range(9)))
    whole = alice.get(f"/movies?sort={sort}").json["items"]
    monkeypatch.setattr(pagination, "DEEP_OFFSET", 1)

    for query in (f"sort={sort}", f"sort={sort}&search=movie&yearFrom=0001"):
        pages = [alice.get(f"/movies?{query}&limit=2&page={page}").json for page in range(2, 6)]
        fitting = [movie for movie in whole if movie["year"] or "yearFrom" not in query]
        assert [movie for page in pages for movie in page["items"]] == fitting[2:]


def test_links_lead_to_the_pages_around(alice, seven):
    found = links(alice.get("/movies?page=2&limit=2&sort=title"))

    assert set(found) == {"first", "prev", "next", "last"}
    assert titles(alice, found["first"].removeprefix("/movies")) == ["Movie 1", "Movie 2"]
    assert titles(alice, found["prev"].removeprefix("/movies")) == ["Movie 1", "Movie 2"]
    assert titles(alice, found["next"].removeprefix("/movies")) == ["Movie 5", "Movie 6"]
    assert titles(alice, found["last"].removeprefix("/movies")) == ["Movie 7"]


def test_links_are_trimmed_as_the_question_is(alice, seven):
    blank = "+" * 2000

    assert len(alice.get(f"/movies?search={blank}movie{blank}&limit=2").headers["Link"]) < 500


def test_links_leave_out_what_is_not_there(alice, seven):
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
def test_an_empty_parameter_is_the_same_as_none(alice, seven, blank):
    plain = alice.get("/movies")

    response = alice.get(f"/movies?{'&'.join(f'{name}={blank}' for name in EMPTY)}")

    assert response.status_code == 200
    assert response.json == plain.json
    assert response.headers["Link"] == plain.headers["Link"]
    assert alice.get("/movies/export?format=").json == alice.get("/movies/export").json
    assert list(alice.get("/movies?serach=").json["error"]["details"]) == ["serach"]
    assert alice.get("/movies?page=&page=").status_code == 400


def test_links_keep_the_question(alice):
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
def test_filters_by_year(alice, query, expected):
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
def test_filters_by_rating_and_watched(alice, monkeypatch, small, query, expected):
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
def test_names_the_parameter_that_is_wrong(alice, query, name):
    response = alice.get(f"/movies?{query}")

    assert response.status_code == 400
    assert response.json["error"]["code"] == "VALIDATION_ERROR"
    assert list(response.json["error"]["details"]) == [name]


def test_names_all_the_parameters_that_are_wrong(alice):
    response = alice.get("/movies?page=0&limit=101&serach=alien")

    assert response.status_code == 400
    assert set(response.json["error"]["details"]) == {"page", "limit", "serach"}


def test_the_largest_page_that_is_taken_costs_no_fault(alice):
    response = alice.get(f"/movies?page={2**53 - 1}&limit=100")

    assert response.status_code == 200
    assert response.json["items"] == []


def test_head_answers_as_get_without_a_body(alice, seven):
    get, head = alice.get("/movies?limit=2"), alice.head("/movies?limit=2")

    assert head.status_code == 200
    assert head.data == b""
    for name in ("ETag", "Link", "Content-Type", "Content-Length"):
        assert head.headers[name] == get.headers[name]
    assert alice.head("/movies?limit=0").status_code == 400


def test_counts_what_is_added_and_removed(alice, seven):
    alice.delete(f"/movies/{seven[0]['id']}")
    alice.delete(f"/movies/{seven[0]['id']}")
    alice.post("/movies", json={"title": ""})
    add(alice, "Movie 8")

    assert alice.get("/movies").json["meta"]["total"] == 7
    assert alice.get("/movies?search=movie").json["meta"]["total"] == 7


def test_counts_rows_however_they_come_and_go(alice, bob, seven, database):
    add(bob, "His")
    copy = "INSERT INTO movies (owner_id, title, year, search_key, title_key, created_at, updated_at) SELECT owner_id, title, year, search_key, title_key, created_at, updated_at FROM movies"

    def totals():
        return [person.get("/movies").json["meta"]["total"] for person in (alice, bob)]

    database.execute(copy)
    assert totals() == [14, 2]
    database.execute("DELETE FROM movies WHERE title IN ('Movie 1', 'Movie 2', 'His')")
    assert totals() == [10, 0]
    with engine_for(database.url).connect() as connection:
        connection.execute(text(copy))
        connection.rollback()
    assert totals() == [10, 0]


@pytest.mark.only_on("postgresql")
def test_times_are_utc_whatever_the_zone_of_the_server(alice, database, make_app, request):
    name = database.url.rpartition("/")[2]
    movie = alice.post("/movies", json={"title": "Alien"}).json
    request.addfinalizer(lambda: database.execute(f"ALTER DATABASE {name} RESET timezone"))
    database.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'")
    client = make_app().test_client()  # its connections are new
    client.token = alice.token

    assert client.get("/movies").json["items"] == [movie]
    assert client.get(f"/movies/{movie['id']}").json == movie
    assert movie["createdAt"].endswith("Z")
