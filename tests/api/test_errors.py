"""All errors use the same envelope, whatever raised them."""

from importlib import import_module

import pytest

from ..conftest import app_for, config_for

pytestmark = pytest.mark.only_on("sqlite")  # what is tested does not depend on the database

DEEP = "[" * 20_000


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/movies/", "/auth", "/auth/", "/docs/nothing", "/docs/../wsgi.py", "/%00"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_unknown_path_returns_404(client, method, path):
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
def test_unsupported_method_returns_405_with_allow_header(client, method, path, allowed):
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
def test_malformed_json_returns_400(alice, body):
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
def test_body_that_is_not_utf8_returns_400(alice, body):
    response = alice.post("/movies", data=body, content_type="application/json")

    assert response.status_code == 400
    assert response.json["error"]["code"] == "INVALID_JSON"


@pytest.mark.parametrize("body", [[], [{"title": "Alien"}], "Alien", 1, 1.5, True, None])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/movies"), ("PATCH", "/movies/1"), ("POST", "/auth/login")]
)
def test_body_that_is_not_an_object_returns_400(alice, method, path, body):
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
def test_other_media_type_returns_415(alice, path, content_type):
    response = alice.post(path, data='{"title": "Alien"}', content_type=content_type)

    assert response.status_code == 415
    assert response.json["error"]["code"] == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
def test_unknown_field_on_bodyless_endpoint_returns_400(alice, path):
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
def test_invalid_body_on_bodyless_endpoint_is_rejected(
    alice, path, body, content_type, status, code
):
    response = alice.post(path, data=body, content_type=content_type)

    assert response.status_code == status
    assert response.json["error"]["code"] == code
    assert alice.get("/me").status_code == 200


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
def test_empty_body_on_bodyless_endpoint_is_accepted(alice, path, content_type):
    assert alice.post(path, data="", content_type=content_type).status_code in (200, 204)


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
def test_empty_object_on_bodyless_endpoint_is_accepted(alice, path):
    assert alice.post(path, json={}).status_code in (200, 204)


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8"],
)
def test_json_content_type_may_include_charset(alice, content_type):
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
def test_oversized_json_body_returns_413(app, alice, method, path):
    body = '{"title": "' + "x" * app.config["MAX_CONTENT_LENGTH"] + '"}'

    response = alice.open(path, method=method, data=body, content_type="application/json")

    assert response.status_code == 413
    assert response.json["error"]["code"] == "PAYLOAD_TOO_LARGE"


def test_body_of_maximum_size_is_accepted(app, alice):
    body = '{"contentType": "image/png", "size": 1}'
    body += " " * (app.config["MAX_CONTENT_LENGTH"] - len(body))

    assert alice.post("/images", data=body, content_type="application/json").status_code == 201
    assert (
        alice.post("/images", data=f"{body} ", content_type="application/json").status_code == 413
    )


def test_internal_error_returns_500_with_only_the_request_id(alice, monkeypatch):
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
def offline(request, tmp_path):
    """A client of an app whose database is unavailable."""
    (folder := tmp_path / "gone").mkdir()
    app = app_for(config_for(request.param.format(folder), tmp_path))
    folder.rmdir()
    return app.test_client()


def test_unavailable_database_returns_503_with_retry_after(offline):
    login = {"email": "alice@example.com", "password": "correct horse battery"}

    for response in (offline.post("/auth/login", json=login), offline.get("/ready")):
        assert response.status_code == 503
        assert response.json["error"]["code"] == "SERVICE_UNAVAILABLE"
        assert int(response.headers["Retry-After"]) > 0


@pytest.mark.only_on("sqlite", "postgresql")
def test_unmigrated_database_returns_503_with_instructions(empty_database, tmp_path):
    client = app_for(config_for(empty_database.url, tmp_path)).test_client()
    login = {"email": "alice@example.com", "password": "correct horse battery"}

    for response in (client.post("/auth/login", json=login), client.get("/ready")):
        assert response.status_code == 503
        assert response.json["error"]["code"] == "SERVICE_UNAVAILABLE"
        assert "flask --app wsgi db upgrade" in response.json["error"]["message"]


def test_requests_without_database_access_succeed_during_outage(offline):
    assert offline.get("/health").json == {"status": "ok"}
    assert offline.get("/openapi.json").status_code == 200
    assert offline.get("/movies").status_code == 401
    assert offline.post("/auth/login", json={}).status_code == 400


@pytest.mark.only_on("sqlite", "postgresql")
def test_terminated_database_connections_are_replaced(alice, database):
    if database.is_postgresql:
        database.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    assert alice.get("/movies").status_code == 200
    assert alice.post("/movies", json={"title": "Alien"}).status_code == 201
