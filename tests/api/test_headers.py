"""Headers of every response: CORS, request ID and browser security."""

from unittest.mock import patch

import pytest
from sqlalchemy.exc import OperationalError

from movies_api.api.errors import abort_rate_limited

from ..conftest import app_for, config_for

pytestmark = pytest.mark.only_on("sqlite")  # what is tested does not depend on the database

FRONTEND = "http://localhost:3000"
READABLE = {"ETag", "Link", "Location", "Retry-After", "X-Request-ID"}

# Errors that make a request return 429, 500 or 503
ERRORS = {
    "429": lambda *_: abort_rate_limited("login", 7),
    "500": RuntimeError("an internal error"),
    "503": OperationalError("SELECT", {}, OSError("the database is unavailable")),
}


def send(client, kind, **headers):
    """Send a request that returns the given status."""
    path, method = {
        "200": ("/health", "GET"),
        "401": ("/movies", "GET"),
        "404": ("/nothing", "GET"),
        "405": ("/movies", "PUT"),
        "400": ("/auth/login", "POST"),
        "413": ("/auth/login", "POST"),
        "415": ("/auth/login", "POST"),
        "304": ("/health", "GET"),
        **dict.fromkeys(ERRORS, ("/auth/password-reset/confirm", "POST")),
    }[kind]
    if kind == "304":
        headers["If-None-Match"] = client.get(path).headers["ETag"]
    reset = {"json": {"token": "x", "newPassword": "correct horse battery"}}
    body = {
        **dict.fromkeys(ERRORS, reset),
        "400": {"json": {}},
        "413": {"data": "x" * 10**6, "content_type": "application/json"},
        "415": {"data": "x", "content_type": "text/plain"},
    }
    with patch("movies_api.account.views.hit", side_effect=ERRORS.get(kind)):
        response = client.open(path, method=method, headers=headers, **body.get(kind, {}))
    assert response.status_code == int(kind)
    return response


KINDS = ["200", "304", "400", "401", "404", "405", "413", "415", *ERRORS]


@pytest.mark.parametrize("kind", KINDS)
def test_allowed_origin_can_read_every_response(client, kind):
    headers = send(client, kind, Origin=FRONTEND).headers

    assert headers["Access-Control-Allow-Origin"] == FRONTEND
    assert headers["Access-Control-Allow-Credentials"] == "true"
    assert {
        name.strip() for name in headers["Access-Control-Expose-Headers"].split(",")
    } == READABLE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://localhost:3000.evil.example",
        "http://localhost:30000",
    ],
)
def test_other_origin_cannot_read_any_response(client, kind, origin):
    assert send(client, kind, Origin=origin).headers.get("Access-Control-Allow-Origin") in (
        None,
        FRONTEND,
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/movies"),
        ("PATCH", "/movies/1"),
        ("DELETE", "/movies/1"),
        ("POST", "/auth/refresh"),
    ],
)
def test_preflight_from_allowed_origin_succeeds(client, method, path):
    wanted = {
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,if-match",
    }

    response = client.options(path, headers={"Origin": FRONTEND, **wanted})

    assert response.status_code in (200, 204)
    assert response.headers["Access-Control-Allow-Origin"] == FRONTEND
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    assert method in response.headers["Access-Control-Allow-Methods"]
    assert (
        response.headers["Access-Control-Allow-Headers"].lower().replace(" ", "")
        == "authorization,content-type,if-match"
    )
    assert int(response.headers["Access-Control-Max-Age"]) >= 600


def test_preflight_from_other_origin_is_rejected(client):
    wanted = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}

    assert (
        client.options("/movies", headers=wanted).headers.get("Access-Control-Allow-Origin")
        != "https://evil.example"
    )


def test_cors_allows_several_configured_origins(app, database, tmp_path):
    both = ["https://one.example", "https://two.example:8443"]
    client = app_for(config_for(database.url, tmp_path, CORS_ORIGIN=",".join(both))).test_client()

    for origin in both:
        response = client.get("/health", headers={"Origin": origin})
        assert response.headers["Access-Control-Allow-Origin"] == origin
        assert "Origin" in response.headers["Vary"]
    assert (
        "Access-Control-Allow-Origin"
        not in client.get("/health", headers={"Origin": FRONTEND}).headers
    )


WILDCARD = "https://*.preview.example.com, capacitor://localhost"


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("https://pr-7.preview.example.com", True),
        ("capacitor://localhost", True),
        ("https://preview.example.com", False),
        ("https://.preview.example.com", False),
        ("https://a.b.preview.example.com", False),
        ("http://pr-7.preview.example.com", False),
        ("https://pr-7.preview.example.com:8443", False),
        ("https://pr-7.preview.example.com.evil.example", False),
        ("https://evil.example/.preview.example.com", False),
        ("https://pr-7.previewXexample.com", False),
        ("capacitor://localhost.evil.example", False),
        ("null", False),
    ],
)
def test_wildcards_and_apps_count_for_cors_and_for_the_cookie(make_app, origin, is_allowed):
    client = make_app(CORS_ORIGIN=WILDCARD).test_client()

    health = client.get("/health", headers={"Origin": origin})
    refresh = client.post("/auth/refresh", headers={"Origin": origin})

    allowed = health.headers.get("Access-Control-Allow-Origin")
    assert allowed == (origin if is_allowed else None)
    assert refresh.json["error"]["code"] == ("MISSING_TOKEN" if is_allowed else "FORBIDDEN")


@pytest.mark.parametrize("base", ["http://localhost", "https://api.example.com"])
def test_a_page_of_the_service_itself_may_use_the_cookie(make_app, base):
    client = make_app(PUBLIC_URL="https://api.example.com/films").test_client()

    response = client.post("/auth/refresh", headers={"Origin": base})

    assert response.json["error"]["code"] == "MISSING_TOKEN"


@pytest.mark.parametrize("sent", ["abc", "req-1.2_3", "0" * 32, "x" * 64])
@pytest.mark.parametrize("kind", KINDS)
def test_valid_request_id_is_returned(client, kind, sent):
    assert send(client, kind, **{"X-Request-ID": sent}).headers["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", ["", "a b", "x" * 1000, "ä", "<script>", '"}', "a\tb", "é" * 10])
def test_invalid_request_id_is_replaced(client, sent):
    response = client.get("/health", headers={"X-Request-ID": sent})

    assert response.headers["X-Request-ID"] not in ("", sent)
    assert response.headers["X-Request-ID"].isascii()


def test_generated_request_ids_are_unique(client):
    assert len({client.get("/health").headers["X-Request-ID"] for _ in range(20)}) == 20


@pytest.mark.parametrize("kind", KINDS)
def test_every_response_has_security_headers(client, kind):
    headers = send(client, kind).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_hsts_header_is_sent_only_over_https(client):
    assert "Strict-Transport-Security" not in client.get("/health").headers
    assert (
        "Strict-Transport-Security"
        in client.get("/health", base_url="https://api.example.com").headers
    )


@pytest.mark.parametrize(("hops", "is_trusted"), [("0", False), ("1", True)])
def test_forwarded_headers_are_trusted_only_with_proxy_hops(
    app, database, tmp_path, hops, is_trusted
):
    client = app_for(config_for(database.url, tmp_path, PROXY_HOPS=hops)).test_client()
    ann = {"name": "Ann", "email": "ann@example.com", "password": "correct horse battery"}

    response = client.post(
        "/auth/signup",
        json=ann,
        headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"},
    )

    assert response.status_code == 201
    assert ("; Secure" in response.headers["Set-Cookie"]) is is_trusted


def test_forwarded_host_is_never_trusted(app, database, tmp_path):
    client = (
        app_for(config_for(database.url, tmp_path, PROXY_HOPS="1")).test_client().sign_up("Alice")
    )

    response = client.post(
        "/movies", json={"title": "Alien"}, headers={"X-Forwarded-Host": "evil.example"}
    )

    assert response.status_code == 201
    assert "evil" not in response.headers["Location"]
