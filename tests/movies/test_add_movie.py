"""POST /movies."""
# ruff: noqa: RUF001  the test data contains look-alike characters

from datetime import UTC, datetime, timedelta
from importlib import import_module
from unittest.mock import ANY

import pytest

URL = "https://example.com/alien.jpg"
ALIEN = {"title": "Alien", "year": "1979", "imageUrl": URL}


def test_create_movie_returns_201_with_the_movie(alice):
    response = alice.post("/movies", json=ALIEN)

    assert response.status_code == 201
    movie = response.json
    assert movie == {
        **ALIEN,
        **dict.fromkeys(("rating", "watchedOn", "notes")),
        "id": ANY,
        "ownerId": alice.user["id"],
        "createdAt": ANY,
        "updatedAt": ANY,
    }
    assert isinstance(movie["id"], int)
    assert movie["createdAt"] == movie["updatedAt"]
    assert alice.get(f"/movies/{movie['id']}").json == movie


def test_create_movie_returns_location_and_etag(alice):
    response = alice.post("/movies", json=ALIEN)

    assert response.status_code == 201
    shown = alice.get(response.headers["Location"])
    assert shown.json == response.json
    assert shown.headers["ETag"] == response.headers["ETag"]


def test_only_title_is_required(alice):
    response = alice.post("/movies", json={"title": "Alien"})

    assert response.status_code == 201
    assert response.json["year"] is None
    assert response.json["imageUrl"] is None


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("Alien", "Alien"),
        ("  Alien \t", "Alien"),
        ("x" * 255, "x" * 255),
        (f" {'x' * 255} ", "x" * 255),
        ("🎬" * 255, "🎬" * 255),
        ("千と千尋の神隠し", "千と千尋の神隠し"),
        ("Amélie", "Amélie"),
        (
            "100% _wild_ \\ 'quotes' \"and\" <b>tags</b>",
            "100% _wild_ \\ 'quotes' \"and\" <b>tags</b>",
        ),
        ("!", "!"),
        ("The", "The"),
        ("0", "0"),
        ("null", "null"),
    ],
)
def test_title_of_1_to_255_characters_is_accepted(alice, sent, expected):
    response = alice.post("/movies", json={"title": sent})

    assert response.status_code == 201
    assert response.json["title"] == expected
    assert alice.get("/movies").json["items"] == [response.json]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("1999", "1999"),
        (1999, "1999"),
        (1999.0, "1999"),  # an integer in JSON Schema
        ("0001", "0001"),
        ("9999", "9999"),
        (" 1999 ", "1999"),
        (None, None),
    ],
)
def test_year_is_returned_as_string_or_null(alice, sent, expected):
    response = alice.post("/movies", json={"title": "Alien", "year": sent})

    assert response.status_code == 201
    assert response.json["year"] == expected
    assert alice.get(f"/movies/{response.json['id']}").json["year"] == expected


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.jpg",
        "http://localhost:3001/images/1",
        "https://EXAMPLE.com/%C3%A4.jpg?q=1&r=%20#part",
        "https://[2001:db8::1]/a.jpg",
        f"https://example.com/{'x' * (2048 - len('https://example.com/'))}",
        None,
    ],
)
def test_image_url_accepts_http_urls(alice, url):
    response = alice.post("/movies", json={"title": "Alien", "imageUrl": url})

    assert response.status_code == 201
    assert response.json["imageUrl"] == url


def test_integers_may_be_written_with_a_decimal_point(alice):
    response = alice.post("/movies", json={"title": "Alien", "rating": 9.0, "year": 1979.0})

    assert response.status_code == 201
    assert [response.json["rating"], response.json["year"]] == [9, "1979"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "https://exämple.com/ä.jpg?q=ü#ö",
            "https://xn--exmple-cua.com/%C3%A4.jpg?q=%C3%BC#%C3%B6",
        ),
        (
            "https://example.com/100%|[1].jpg?q={x}",
            "https://example.com/100%25%7C%5B1%5D.jpg?q=%7Bx%7D",
        ),
    ],
)
def test_image_url_is_percent_encoded(alice, url, expected):
    response = alice.post("/movies", json={"title": "Alien", "imageUrl": url})

    assert response.status_code == 201
    assert response.json["imageUrl"] == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", "   "),
        ("title", "x" * 256),
        ("title", "Ali\x00en"),
        ("title", "\u200b\u2060"),
        ("title", "Ali\nen"),
        ("title", "Ali\x7fen"),
        ("title", "Ali\x85en"),
        ("title", None),
        ("title", 12),
        ("title", True),
        ("title", ["Alien"]),
        ("title", {"en": "Alien"}),
        ("year", "99"),
        ("year", "19999"),
        ("year", "199x"),
        ("year", "-199"),
        ("year", "+199"),
        ("year", "1 99"),
        ("year", "１９９９"),
        ("year", "١٩٩٩"),
        ("year", 99),
        ("year", -1999),
        ("year", 19999),
        ("year", 1999.5),
        ("year", True),
        ("year", False),
        ("year", 10**30),
        ("year", ["1999"]),
        ("year", "1999\x00"),
        ("imageUrl", "alien.jpg"),
        ("imageUrl", "//example.com/a.jpg"),
        ("imageUrl", "ftp://example.com/a.jpg"),
        ("imageUrl", "javascript:alert(1)"),
        ("imageUrl", "java\tscript:alert(1)"),
        ("imageUrl", "https://"),
        ("imageUrl", "https:///a.jpg"),
        ("imageUrl", "https://example.com:99999/a.jpg"),
        ("imageUrl", "https://example.com/a b.jpg"),
        ("imageUrl", "https://[::1/a.jpg"),
        ("imageUrl", "https://exa<mple.com/a.jpg"),
        ("imageUrl", f"https://example.com/{'ä' * 400}"),
        ("imageUrl", f"https://example.com/{'x' * 2048}"),
        ("imageUrl", 12),
        ("imageUrl", ["https://example.com/a.jpg"]),
        ("ratting", 5),
        *(("rating", each) for each in (0, 11, -1, 5.5, 1e300, True, "ten", "٣", [5], {})),
        *(("watchedOn", each) for each in ("31.5.2024", "2024-02-30", "20240531", "0001-01-01")),
        *(("watchedOn", each) for each in ("2024-05-31T00:00", "٢٠٢٤-05-31", 20240531, ["x"])),
        *(("notes", each) for each in ("x" * 2001, "\0", "a\tb", "a\x85b", 5, ["x"])),
        ("Title", "Alien"),
        ("id", 5),
        ("ownerId", "00000000-0000-0000-0000-000000000000"),
        ("", "x"),
    ],
)
def test_invalid_movie_field_returns_400(alice, field, value):
    response = alice.post("/movies", json={**ALIEN, field: value})

    assert response.status_code == 400
    assert response.json["error"]["code"] == "VALIDATION_ERROR"
    assert list(response.json["error"]["details"]) == [field]
    assert alice.get("/movies").json["items"] == []


def test_missing_title_returns_400(alice):
    response = alice.post("/movies", json={})

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["title"]
    assert "title" in response.json["error"]["message"]


def test_movie_ids_are_never_reused(alice):
    first = alice.post("/movies", json=ALIEN).json["id"]
    assert alice.delete(f"/movies/{first}").status_code == 204

    assert alice.post("/movies", json=ALIEN).json["id"] > first


def test_empty_text_is_stored_as_null(alice):
    optional = ("year", "imageUrl", "rating", "watchedOn", "notes")
    for blank in ("", " "):
        response = alice.post("/movies", json={"title": "Alien", **dict.fromkeys(optional, blank)})

        assert response.status_code == 201
        assert {name: response.json[name] for name in optional} == dict.fromkeys(optional)


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("rating", "7", 7),
        ("rating", " 10 ", 10),
        ("watchedOn", " 1895-12-28 ", "1895-12-28"),
        ("notes", " One\r\ntwo\rthree\n\nfour \n", "One\ntwo\nthree\n\nfour"),
        ("notes", "\r\n" * 5 + "é" * 2000, "é" * 2000),
        ("notes", "a" + "\r\n" * 1998 + "b", "a" + "\n" * 1998 + "b"),
    ],
)
def test_typed_values_are_normalized(alice, field, value, stored):
    response = alice.post("/movies", json={"title": "Alien", field: value})

    assert response.status_code == 201
    assert response.json[field] == stored
    assert alice.get("/movies").json["items"] == [response.json]


def test_watched_on_is_tomorrow_at_the_latest(alice, clock):
    today = datetime.now(UTC).date()
    for days, status in ((0, 201), (1, 201), (2, 400)):
        body = {"title": "Alien", "watchedOn": str(today + timedelta(days=days))}
        assert alice.post("/movies", json=body).status_code == status

    clock.advance(days=1)
    alice.log_in(alice.user["email"])
    assert alice.post("/movies", json=body).status_code == 201


def test_create_movie_during_account_deletion_returns_401(alice, database, monkeypatch):
    views = import_module("movies_api.movies.views")
    real = views.insert_movie

    def delete_account_first(*values):
        for table in ("sessions", "users"):
            database.execute(f"DELETE FROM {table}")
        return real(*values)

    monkeypatch.setattr(views, "insert_movie", delete_account_first)

    response = alice.post("/movies", json=ALIEN)

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"
    assert database.execute("SELECT count(*) FROM movies") == [(0,)]


def test_two_users_can_have_the_same_movie(alice, bob):
    hers, his = (client.post("/movies", json=ALIEN).json for client in (alice, bob))

    assert hers["id"] != his["id"]
    assert [client.get("/movies").json["meta"]["total"] for client in (alice, bob)] == [1, 1]


def test_create_movie_rejects_query_parameters(alice):
    response = alice.post("/movies?title=Alien", json=ALIEN)

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["title"]
