"""Errors: one envelope for all of them, whoever raised them."""

from importlib import import_module

import pytest

from ..conftest import app_for, config_for

DEEP = "[" * 20_000


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/movies/", "/auth", "/auth/", "/docs/nothing", "/docs/../wsgi.py", "/%00"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_an_unknown_address_is_404(client, method, path):
    response = client.open(path, method=method)

    assert response.status_code == 404
    assert response.json["error"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/movies", {"GET", "HEAD", "OPTIONS", "POST", "DELETE"}),
        ("POST", "/movies/1", {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"}),
        ("GET", "/auth/login", {"POST", "OPTIONS"}),
        ("POST", "/health", {"GET", "HEAD", "OPTIONS"}),
        ("PUT", "/me", {"GET", "HEAD", "OPTIONS", "PATCH", "DELETE"}),
        ("BREW", "/movies", {"GET", "HEAD", "OPTIONS", "POST", "DELETE"}),
    ],
)
def test_a_method_that_is_not_taken_is_405_and_says_which_are(client, method, path, allowed):
    response = client.open(path, method=method)

    assert response.status_code == 405
    assert response.json["error"]["code"] == "METHOD_NOT_ALLOWED"
    assert set(response.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "{]",
        "nonsense",
        '{"title": NaN}',
        "{'title': 'Alien'}",
        '{"title":}',
        "\ufeff{}",
        DEEP,
    ],
)
def test_a_body_that_is_not_json_says_so(alice, body):
    response = alice.post("/movies", data=body, content_type="application/json")

    assert response.status_code == 400
    assert response.json["error"]["code"] == "INVALID_JSON"


@pytest.mark.parametrize(
    "body",
    [
        b'{"title": "\xff"}',
        b'{"title": "\xed\xa0\x80"}',
        b'{"title": "\\ud800"}',
        b"\x00",
        "{}".encode("utf-16"),
    ],
)
def test_a_body_that_is_not_utf8_says_so(alice, body):
    response = alice.post("/movies", data=body, content_type="application/json")

    assert response.status_code == 400
    assert response.json["error"]["code"] == "INVALID_JSON"


@pytest.mark.parametrize("body", [[], [{"title": "Alien"}], "Alien", 1, 1.5, True, None])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/movies"), ("PATCH", "/movies/1"), ("POST", "/auth/login")]
)
def test_a_body_that_is_no_object_says_so(alice, method, path, body):
    response = alice.open(path, method=method, json=body)

    assert response.status_code == 400
    assert response.json["error"]["code"] == "INVALID_JSON"


@pytest.mark.parametrize("path", ["/movies", "/auth/signup", "/auth/login"])
@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "",
        "x",
    ],
)
def test_a_body_of_another_type_is_415(alice, path, content_type):
    response = alice.post(path, data='{"title": "Alien"}', content_type=content_type)

    assert response.status_code == 415
    assert response.json["error"]["code"] == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
def test_where_there_is_no_body_a_key_is_named(alice, path):
    response = alice.post(path, json={"scope": "all", "colour": "red"})

    assert response.status_code == 400
    assert response.json["error"]["code"] == "VALIDATION_ERROR"
    assert set(response.json["error"]["details"]) == {"scope", "colour"}
    assert alice.get("/me").status_code == 200


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        ("x", "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("{}", "", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("a=1", "application/x-www-form-urlencoded", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("{", "application/json", 400, "INVALID_JSON"),
        ("[]", "application/json", 400, "INVALID_JSON"),
        (" " * 100_000, "application/json", 413, "PAYLOAD_TOO_LARGE"),
    ],
)
def test_where_there_is_no_body_another_than_json_is_rejected_as_elsewhere(
    alice, path, body, content_type, status, code
):
    response = alice.post(path, data=body, content_type=content_type)

    assert response.status_code == status
    assert response.json["error"]["code"] == code
    assert alice.get("/me").status_code == 200


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
def test_where_there_is_no_body_an_empty_one_passes(alice, path, content_type):
    assert alice.post(path, data="", content_type=content_type).status_code in (200, 204)


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
def test_where_there_is_no_body_an_empty_object_passes(alice, path):
    assert alice.post(path, json={}).status_code in (200, 204)


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8"],
)
def test_json_may_name_its_encoding(alice, content_type):
    response = alice.post("/movies", data='{"title": "Alien"}', content_type=content_type)

    assert response.status_code == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/images"),
        ("POST", "/auth/signup"),
        ("POST", "/auth/login"),
    ],
)
def test_a_body_that_is_too_large_is_413(app, alice, method, path):
    body = '{"title": "' + "x" * app.config["MAX_CONTENT_LENGTH"] + '"}'

    response = alice.open(path, method=method, data=body, content_type="application/json")

    assert response.status_code == 413
    assert response.json["error"]["code"] == "PAYLOAD_TOO_LARGE"


def test_a_body_of_just_the_size_that_is_allowed_is_read(app, alice):
    body = '{"contentType": "image/png", "size": 1}'
    body += " " * (app.config["MAX_CONTENT_LENGTH"] - len(body))

    assert alice.post("/images", data=body, content_type="application/json").status_code == 201
    assert (
        alice.post("/images", data=f"{body} ", content_type="application/json").status_code == 413
    )


def test_a_fault_of_ours_is_500_and_tells_only_the_request_id(alice, monkeypatch):
    def fail(*_):
        raise RuntimeError("SELECT secret FROM insides")

    monkeypatch.setattr(import_module("movies_api.movies.views"), "fetch_page", fail)

    response = alice.get("/movies")

    assert response.status_code == 500
    assert response.json["error"]["code"] == "INTERNAL_ERROR"
    assert response.json["error"]["details"] == {"requestId": response.headers["X-Request-ID"]}
    assert "secret" not in response.text
    assert alice.get("/me").status_code == 200


@pytest.fixture(
    params=["sqlite:///{}/movies.db", "postgresql://nobody@127.0.0.1:1/nothing"],
    ids=["sqlite", "postgresql"],
)
def stranded(request, tmp_path):
    """A client of an app whose database is away."""
    (folder := tmp_path / "gone").mkdir()
    app = app_for(config_for(request.param.format(folder), tmp_path))
    folder.rmdir()
    return app.test_client()


def test_a_database_that_is_away_is_503_and_says_when_to_come_back(stranded):
    login = {"email": "alice@example.com", "password": "correct horse battery"}

    for response in (stranded.post("/auth/login", json=login), stranded.get("/ready")):
        assert response.status_code == 503
        assert response.json["error"]["code"] == "SERVICE_UNAVAILABLE"
        assert int(response.headers["Retry-After"]) > 0


def test_a_database_that_was_never_migrated_says_so(empty_database, tmp_path):
    client = app_for(config_for(empty_database.url, tmp_path)).test_client()
    login = {"email": "alice@example.com", "password": "correct horse battery"}

    for response in (client.post("/auth/login", json=login), client.get("/ready")):
        assert response.status_code == 503
        assert response.json["error"]["code"] == "SERVICE_UNAVAILABLE"
        assert "flask --app wsgi db upgrade" in response.json["error"]["message"]


def test_what_needs_no_database_goes_on_without_it(stranded):
    assert stranded.get("/health").json == {"status": "ok"}
    assert stranded.get("/openapi.json").status_code == 200
    assert stranded.get("/movies").status_code == 401
    assert stranded.post("/auth/login", json={}).status_code == 400


def test_a_database_that_forgets_its_connections_is_met_with_new_ones(alice, database):
    if database.is_postgresql:
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    assert alice.get("/movies").status_code == 200
    assert alice.post("/movies", json={"title": "Alien"}).status_code == 201
