"""The number of SQL statements per request."""

import pytest

MOVIE = {"title": "Alien", "year": "1979"}
LOGIN = {"email": "alice@example.com", "password": "correct horse battery"}


@pytest.fixture
def movie(alice):
    """A movie of Alice's among others."""
    return [alice.post("/movies", json=MOVIE).json for _ in range(25)][7]


@pytest.mark.parametrize(
    ("method", "path", "body", "limit"),
    [
        ("GET", "/movies", None, 2),
        ("GET", "/movies?page=2&sort=title", None, 2),
        ("GET", "/movies?search=alien&yearFrom=1970&sort=-year,title", None, 3),
        ("GET", "/movies/{id}", None, 2),
        ("HEAD", "/movies/{id}", None, 2),
        ("POST", "/movies", MOVIE, 3),
        ("PATCH", "/movies/{id}", {"title": "Aliens"}, 2),
        ("PUT", "/movies/{id}", MOVIE, 2),
        ("DELETE", "/movies/{id}", None, 3),
        ("DELETE", "/movies?ids={id}", None, 2),
        ("GET", "/movies/stats", None, 3),
        ("GET", "/movies/export", None, 3),
        ("GET", "/me", None, 3),
        ("PATCH", "/me", {"name": "Alicia"}, 3),
        ("GET", "/auth/sessions", None, 2),
        ("POST", "/auth/login", LOGIN, 4),
        ("POST", "/auth/signup", {**LOGIN, "name": "Ann", "email": "ann@example.com"}, 4),
        ("POST", "/auth/refresh", None, 2),
        ("POST", "/auth/logout", None, 2),
        ("GET", "/health", None, 0),
        ("GET", "/ready", None, 1),
        ("GET", "/movies?page=0", None, 1),
        ("POST", "/movies", {}, 1),
        ("GET", "/nothing", None, 0),
        ("GET", "/openapi.json", None, 0),
    ],
)
def test_request_executes_a_limited_number_of_statements(alice, movie, method, path, body, limit):
    response = alice.open(
        path.format(**movie), method=method, **({} if body is None else {"json": body})
    )

    assert response.status_code < 500
    assert len(alice.statements) <= limit, "\n\n".join(alice.statements)


def test_cursor_needs_fewer_statements_than_a_page(alice, movie):
    cursor = alice.get("/movies?limit=10&search=alien").json["meta"]["nextCursor"]

    assert alice.get(f"/movies?limit=10&search=alien&cursor={cursor}").status_code == 200
    assert len(alice.statements) == 2


def test_anonymous_request_executes_no_statement(client):
    assert client.get("/movies").status_code == 401
    assert client.statements == []

    client.token = "made.up.token"
    assert client.get("/movies").status_code == 401
    assert client.statements == []


def test_rejected_body_executes_only_selects(alice):
    alice.post("/movies", json={"title": ""})

    assert not [statement for statement in alice.statements if not statement.startswith("SELECT")]
