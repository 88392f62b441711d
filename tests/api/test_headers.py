"""Headers of every answer: CORS, the request id, and what keeps browsers from harm."""

from unittest.mock import patch

import pytest
from sqlalchemy.exc import OperationalError

from movies_api.api.errors import abort_rate_limited

from ..conftest import app_for, config_for

OURS = "http://localhost:3000"
READABLE = {"ETag", "Link", "Location", "Retry-After", "X-Request-ID"}

# What ends a request by 429, 500 or 503
FAULTS = {
    "429": lambda *_: abort_rate_limited(7),
    "500": RuntimeError("a fault of ours"),
    "503": OperationalError("SELECT", {}, OSError("the database is away")),
}


def ask(client, kind, **headers):
    """Make a request that is answered in one of several ways."""
    path, method = {
        "200": ("/health", "GET"),
        "401": ("/movies", "GET"),
        "404": ("/nothing", "GET"),
        "405": ("/movies", "PUT"),
        "400": ("/auth/login", "POST"),
        "413": ("/auth/login", "POST"),
        "415": ("/auth/login", "POST"),
        "304": ("/health", "GET"),
        **dict.fromkeys(FAULTS, ("/auth/password-reset/confirm", "POST")),
    }[kind]
    if kind == "304":
        headers["If-None-Match"] = client.get(path).headers["ETag"]
    reset = {"json": {"token": "x", "newPassword": "correct horse battery"}}
    body = {
        **dict.fromkeys(FAULTS, reset),
        "400": {"json": {}},
        "413": {"data": "x" * 10**6, "content_type": "application/json"},
        "415": {"data": "x", "content_type": "text/plain"},
    }
    with patch("movies_api.account.views.hit", side_effect=FAULTS.get(kind)):
        response = client.open(path, method=method, headers=headers, **body.get(kind, {}))
    assert response.status_code == int(kind)
    return response


KINDS = ["200", "304", "400", "401", "404", "405", "413", "415", *FAULTS]


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_of_ours_may_read_every_answer(client, kind):
    headers = ask(client, kind, Origin=OURS).headers

    assert headers["Access-Control-Allow-Origin"] == OURS
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
def test_a_page_of_somebody_else_may_read_none(client, kind, origin):
    assert ask(client, kind, Origin=origin).headers.get("Access-Control-Allow-Origin") in (
        None,
        OURS,
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
def test_a_page_of_ours_may_ask_beforehand(client, method, path):
    wanted = {
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,if-match",
    }

    response = client.options(path, headers={"Origin": OURS, **wanted})

    assert response.status_code in (200, 204)
    assert response.headers["Access-Control-Allow-Origin"] == OURS
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    assert method in response.headers["Access-Control-Allow-Methods"]
    assert (
        response.headers["Access-Control-Allow-Headers"].lower().replace(" ", "")
        == "authorization,content-type,if-match"
    )
    assert int(response.headers["Access-Control-Max-Age"]) >= 600


def test_a_page_of_somebody_else_is_rejected_beforehand(client):
    wanted = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}

    assert (
        client.options("/movies", headers=wanted).headers.get("Access-Control-Allow-Origin")
        != "https://evil.example"
    )


def test_several_origins_may_be_allowed(app, database, tmp_path):
    both = ["https://one.example", "https://two.example:8443"]
    client = app_for(config_for(database.url, tmp_path, CORS_ORIGIN=",".join(both))).test_client()

    for origin in both:
        response = client.get("/health", headers={"Origin": origin})
        assert response.headers["Access-Control-Allow-Origin"] == origin
        assert "Origin" in response.headers["Vary"]
    assert (
        "Access-Control-Allow-Origin" not in client.get("/health", headers={"Origin": OURS}).headers
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


@pytest.mark.parametrize("given", ["abc", "req-1.2_3", "0" * 32, "x" * 64])
@pytest.mark.parametrize("kind", KINDS)
def test_the_callers_request_id_comes_back(client, kind, given):
    assert ask(client, kind, **{"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 1000, "ä", "<script>", '"}', "a\tb", "é" * 10])
def test_a_request_id_that_is_not_sane_is_replaced(client, given):
    response = client.get("/health", headers={"X-Request-ID": given})

    assert response.headers["X-Request-ID"] not in ("", given)
    assert response.headers["X-Request-ID"].isascii()


def test_every_request_has_an_id_of_its_own(client):
    assert len({client.get("/health").headers["X-Request-ID"] for _ in range(20)}) == 20


@pytest.mark.parametrize("kind", KINDS)
def test_no_answer_can_be_framed_sniffed_or_run(client, kind):
    headers = ask(client, kind).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_browsers_are_told_to_stay_with_https_only_over_https(client):
    assert "Strict-Transport-Security" not in client.get("/health").headers
    assert (
        "Strict-Transport-Security"
        in client.get("/health", base_url="https://api.example.com").headers
    )


@pytest.mark.parametrize(("hops", "is_believed"), [("0", False), ("1", True)])
def test_only_as_many_proxies_are_believed_as_are_stated(
    app, database, tmp_path, hops, is_believed
):
    client = app_for(config_for(database.url, tmp_path, PROXY_HOPS=hops)).test_client()
    ann = {"name": "Ann", "email": "ann@example.com", "password": "correct horse battery"}

    response = client.post(
        "/auth/signup",
        json=ann,
        headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"},
    )

    assert response.status_code == 201
    assert ("; Secure" in response.headers["Set-Cookie"]) is is_believed


def test_a_forwarded_host_is_never_believed(app, database, tmp_path):
    client = (
        app_for(config_for(database.url, tmp_path, PROXY_HOPS="1")).test_client().sign_up("Alice")
    )

    response = client.post(
        "/movies", json={"title": "Alien"}, headers={"X-Forwarded-Host": "evil.example"}
    )

    assert response.status_code == 201
    assert "evil" not in response.headers["Location"]
