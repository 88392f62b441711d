"""Malformed requests get an error in the envelope, never a 5xx or a connection reset."""

from __future__ import annotations

import http.client
import json
import socket
import time
from contextlib import closing
from urllib.parse import quote, urlsplit

import pytest

from ..client import PASSWORD
from ..conftest import app_for, config_for

NO_DATABASE = pytest.mark.only_on("sqlite")  # rejected before any database access
SIGNUP = {"name": "Ann Example", "email": "ann@example.com", "password": PASSWORD}
LIMIT = 65536
MEGABYTES = 5 << 20
JSON_ENDPOINTS = [
    ("POST", "/auth/signup"),
    ("POST", "/auth/login"),
    ("POST", "/movies"),
    ("PUT", "/movies/1"),
    ("PATCH", "/movies/1"),
]


def code_of(response):
    """Return the error code of a 4xx response."""
    assert 400 <= response.status_code < 500
    return response.json["error"]["code"]


# --- bodies


@NO_DATABASE
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"{",
        b"}",
        b'{"title": "Alien"',
        b'{"title": "Alien"}}',
        b'{"title": "Alien"} {}',
        b"{'title': 'Alien'}",
        b'{title: "Alien"}',
        b'{"title": NaN}',
        b'{"title": Infinity}',
        b'{"title": 01}',
        b'{"title": 1e99999}',
        b'{"title": "a\0b"}',
        b'{"title": "a\nb"}',
        b'{"title": "\xff\xfe"}',
        b'{"title": "\xed\xa0\x80"}',
        b'{"title": "\\ud800"}',
        b'{"\\udc00": "lone"}',
        b'{"title": "\\x41"}',
        b'\xef\xbb\xbf{"title": "Alien"}',
        '{"title": "Alien"}'.encode("utf-16"),
        b"title=Alien&year=1979",
        b"<title>Alien</title>",
        b"[" * 60000,
        b'{"a":' * 10000,
        b"[" * 2000 + b"]" * 2000,
        b"[]",
        b'[{"title": "Alien"}]',
        b'"Alien"',
        b"1",
        b"-1e5",
        b"null",
        b"true",
    ],
)
def test_invalid_json_object_returns_400(alice, body):
    for method, path in JSON_ENDPOINTS:
        response = alice.open(path, method=method, data=body, content_type="application/json")

        assert code_of(response) == "INVALID_JSON"


@NO_DATABASE
@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        1.5,
        1e308,
        2**63 - 1,
        2**64 - 1,
        10**30,
        [],
        {},
        ["Alien"],
        {"title": "Alien"},
        [[[[[]]]]],
        json.loads("[" * 500 + "]" * 500),
        "",
        " \t\u3000",
        "a\0b",
        "a\x1b[2Jb",
        "a\x7fb",
        "a\x85b",
        "x" * 60000,
    ],
)
def test_invalid_value_is_reported_by_field(alice, value):
    for path, field in [("/movies", "title"), ("/auth/signup", "name"), ("/auth/signup", "email")]:
        valid = {"title": "Alien"} if path == "/movies" else SIGNUP
        response = alice.post(
            path, data=json.dumps({**valid, field: value}), content_type="application/json"
        )

        assert code_of(response) == "VALIDATION_ERROR"
        assert list(response.json["error"]["details"]) == [field]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "\0",
        "title\n",
        "__proto__",
        "a.b",
        "ti\u200btle",
        "\ufdfa" * 99,
        "x" * 30000,
        "é" * 9999,
    ],
)
def test_unknown_field_is_reported_by_name(alice, name):
    response = alice.post(
        "/movies", json={"title": "Alien", name: json.loads("[" * 500 + "]" * 500)}
    )

    assert code_of(response) == "VALIDATION_ERROR"
    assert list(response.json["error"]["details"]) == [name]


def test_thousands_of_unknown_fields_are_rejected_quickly(alice):
    names = [f"k{number}" for number in range(5000)]
    started = time.perf_counter()

    response = alice.post(
        "/movies", data=json.dumps(dict.fromkeys(names, 1)), content_type="application/json"
    )

    assert code_of(response) == "VALIDATION_ERROR"
    assert time.perf_counter() - started < 2


@NO_DATABASE
@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "text/plain",
        "text/json",
        "application/jsonp",
        "application/vnd.api+json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "application",
        "/",
        ";",
        "*/*",
        "application/json, text/plain",
        "appl\xefcation/json",
        "x" * 8000,
    ],
)
def test_unsupported_media_type_returns_415(alice, media_type):
    for method, path in JSON_ENDPOINTS:
        response = alice.open(
            path,
            method=method,
            data=b'{"title": "Alien"}',
            environ_overrides={"CONTENT_TYPE": media_type},
        )

        assert code_of(response) == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "APPLICATION/JSON",
        "application/json; charset=utf-8",
        "application/json;",
    ],
)
def test_json_content_type_accepts_equivalent_spellings(alice, media_type):
    response = alice.post("/movies", data=b'{"title": "Alien"}', content_type=media_type)

    assert response.status_code == 201


@NO_DATABASE
@pytest.mark.parametrize("size", [LIMIT + 1, 1 << 20])
def test_body_over_the_limit_returns_413(alice, size):
    for method, path in {*JSON_ENDPOINTS, ("POST", "/images")}:
        response = alice.open(
            path, method=method, data=b"x" * size, content_type="application/json"
        )

        assert code_of(response) == "PAYLOAD_TOO_LARGE"


@pytest.mark.parametrize(
    "length", ["-1", "x", "1e3", "", " 5", "\uff19", "99999999999999999999", "0" * 500]
)
def test_invalid_content_length_returns_4xx(alice, length):
    response = alice.post(
        "/movies",
        data=b'{"title": 5}',
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": length},
    )

    assert 400 <= response.status_code < 500


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_unexpected_body_is_ignored(alice, method):
    movie = alice.post("/movies", json={"title": "Alien"}).json

    response = alice.open(
        f"/movies/{movie['id']}", method=method, data=b"\xff{", content_type="application/json"
    )

    assert response.status_code in (200, 204)


# --- unusual but valid text


TITLES = [
    "\ufdfa" * 255,
    "A\u200bl\u200di\ufeffen",
    "\u202ealien",
    "نص عربي",
    "👩‍👩‍👧‍👦🏳️‍🌈" * 9,
    "ıİſßﬃŒ",
    "e\u0301" * 127,
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘",
    "\ud7ff\ue000\ufffd\uffff\U0010ffff",
    "The ",
    "the",
    "A \u3000 An",
    "... And Justice",
    "%_\\%",
    "';drop table movies;--",
    "{{7*7}}${7*7}",
    "\\u0000",
]


@pytest.mark.parametrize("title", TITLES)
def test_unusual_titles_are_stored_searched_and_sorted(alice, title):
    sent = alice.post("/movies", json={"title": title})
    alice.post("/movies", json={"title": "Brazil"})

    assert sent.status_code == 201
    assert sent.json["title"] == title.strip()
    assert sent.json in alice.get(f"/movies?search={quote(title)}").json["items"]
    assert alice.get("/movies?sort=title").json["meta"]["total"] == 2


@pytest.mark.parametrize(
    "name", ["\ufdfa" * 100, "👩‍👩‍👧‍👦" * 14, "\u202eAnn", "ıİ", "O'Brien <b>"]
)
def test_unusual_names_are_accepted(client, name):
    response = client.post("/auth/signup", json={**SIGNUP, "name": name})

    assert response.status_code == 201
    assert response.json["user"]["name"] == name


@pytest.mark.parametrize(
    "email",
    [
        "\ufdfa@example.com",
        "a" * 255,
        "a@" + "b." * 120 + "com",
        "a" * 250 + "@b.c",
        "@",
        "a@b@c.de",
        "ann@example..com",
        "ann@\u2100.com",
        '"ann"@example.com\0',
        "ann@[127.0.0.1",
        "a.@b.c" * 40,
        "\u0131@\u0131",
        "!" * 100 + "@" + "-." * 70,
    ],
)
def test_unusual_emails_are_validated_quickly(client, email):
    started = time.perf_counter()

    response = client.post("/auth/signup", json={**SIGNUP, "email": email})

    assert response.status_code in (201, 400)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    "password",
    ["\0" * 8, "pass\0word!", "\u202e" * 8, "\ufdfa" * 128, "\ud7ff" * 20, "e\u0301" * 60],
)
def test_unusual_passwords_work_for_login(client, password):
    assert client.post("/auth/signup", json={**SIGNUP, "password": password}).status_code == 201

    assert (
        client.post(
            "/auth/login", json={"email": SIGNUP["email"], "password": password}
        ).status_code
        == 200
    )
    assert client.post(
        "/auth/login", json={"email": SIGNUP["email"], "password": password + "."}
    ).status_code in (400, 401)


# --- paths and parameters


@pytest.mark.parametrize(
    "path",
    [
        "\0",
        "1\0",
        "\xff",
        "1\xff",
        "\xed\xa0\x80",
        "\xf0\x9f\x8e\xac",
        "\xef\xbc\x91",
        "-1",
        "+1",
        "1.0",
        "1e3",
        "0x1",
        " 1",
        "1 ",
        "..",
        "%31",
        "0",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551617",
        "9" * 5000,
        "0" * 5000,
        "x" * 50000,
        "1/",
        "1;a=b",
        "1\n",
    ],
)
def test_malformed_movie_path_returns_404(alice, path):
    movie = alice.post("/movies", json={"title": "Alien"}).json
    for method, body in [("GET", {}), ("PATCH", {"json": {"title": "Aliens"}}), ("DELETE", {})]:
        response = alice.open(
            "/", method=method, environ_overrides={"PATH_INFO": f"/movies/{path}"}, **body
        )

        assert code_of(response) == "NOT_FOUND"
        assert alice.get(f"/movies/{movie['id']}").json == movie


@pytest.mark.parametrize(
    "path",
    [
        "*",
        "/\0",
        "/\xff",
        "/..",
        "/movies\xff",
        "//evil.example/",
        "http://evil.example/",
    ],
)
def test_malformed_path_returns_404(alice, path):
    response = alice.open("/", environ_overrides={"PATH_INFO": path})

    assert code_of(response) == "NOT_FOUND"


@pytest.mark.parametrize("path", ["//", "/" * 9000])
def test_path_of_slashes_redirects_to_the_docs(client, path):
    response = client.open("/", environ_overrides={"PATH_INFO": path})

    assert response.status_code == 302
    assert response.headers["Location"] in {"docs", "../docs"}


@NO_DATABASE
@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "GET ", "", "\xff", "X" * 5000])
def test_unknown_method_returns_405(alice, method):
    for path in ("/movies", "/movies/1", "/me", "/health", "/docs"):
        response = alice.open(path, environ_overrides={"REQUEST_METHOD": method})

        assert code_of(response) == "METHOD_NOT_ALLOWED"
        assert "GET" in response.headers["Allow"]


@NO_DATABASE
@pytest.mark.parametrize(
    "value",
    [
        "\0",
        "x",
        "-1",
        "9" * 20,
        "9" * 5000,
        "1e3",
        "٣",
        "1.0",
        "0x1",
        "\ufffd",
        "\U0010ffff",
        "[]",
        "NaN",
    ],
)
def test_invalid_query_parameter_is_reported_by_name(alice, value):
    for name in ("page", "limit", "year", "yearFrom", "yearTo", "sort", "cursor"):
        response = alice.get("/movies", query_string={name: value})

        assert code_of(response) == "VALIDATION_ERROR"
        assert list(response.json["error"]["details"]) == [name]


@NO_DATABASE
@pytest.mark.parametrize("name", ["page", "limit", "search", "year", "sort", "cursor", "unknown"])
def test_repeated_query_parameter_returns_400(alice, name):
    response = alice.get(f"/movies?{name}=1&{name}=1")

    assert code_of(response) == "VALIDATION_ERROR"
    assert list(response.json["error"]["details"]) == [name]


@NO_DATABASE
@pytest.mark.parametrize(
    "query", ["\xff", "search=\xff", "x=\xed\xa0\x80", "\xff\xff=\xc0\x80&page=1", "scope=\xfe"]
)
def test_query_that_is_not_utf8_returns_400(alice, query):
    for method, path in [
        ("GET", "/movies"),
        ("GET", "/me"),
        ("GET", "/movies/1"),
        ("POST", "/auth/logout"),
        ("GET", "/docs"),
    ]:
        response = alice.open(path, method=method, environ_overrides={"QUERY_STRING": query})

        assert code_of(response) == "VALIDATION_ERROR"


@pytest.mark.parametrize(
    "query",
    [
        "%ff",
        "search=%ff",
        "search=%ed%a0%80",
        "search=%",
        "search=%zz",
        "&&&",
        "=",
        "?",
        "search=%00",
        "search=a%0ab",
    ],
)
def test_badly_escaped_query_returns_200_or_400(alice, query):
    response = alice.get("/movies", environ_overrides={"QUERY_STRING": query})

    assert response.status_code in (200, 400)


def test_thousands_of_query_parameters_return_400(alice):
    response = alice.get(
        "/movies",
        environ_overrides={"QUERY_STRING": "&".join(f"p{number}=1" for number in range(5000))},
    )

    assert code_of(response) == "VALIDATION_ERROR"


# --- headers


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Bearer  x",
        "bearer x",
        "Bearer \xff",
        "Bearer a.b.c",
        "Bearer ..",
        "Bearer " + "a." * 4000,
        "Basic Og==",
        "Basic \xff",
        "Digest a=b",
        "Bearer null",
        "x" * 8000,
        "Bearer " + "A" * 32 + ".AAAAAA." + "A" * 43,
        "Bearer,Bearer",
        '"',
        "\x7f",
        "é",
    ],
)
def test_malformed_authorization_returns_401(client, value):
    for method, path in [("GET", "/me"), ("POST", "/movies"), ("POST", "/auth/logout")]:
        response = client.open(path, method=method, environ_overrides={"HTTP_AUTHORIZATION": value})

        assert response.status_code == 401
        assert code_of(response) in ("MISSING_TOKEN", "INVALID_TOKEN")


@pytest.mark.parametrize(
    "value",
    [
        "",
        ";",
        "=",
        "==",
        "refreshToken",
        "refreshToken=",
        "refreshToken==",
        'refreshToken="',
        'refreshToken="\\777"',
        "refreshToken=\xff",
        "refreshToken=a.b; refreshToken=c.d",
        "refreshToken=" + "A" * 7000,
        ";" * 8000,
        "a=b;" * 2000,
        "refreshToken=%00",
        "\xff=\xff",
        "refreshToken=..",
    ],
)
def test_malformed_refresh_cookie_returns_401(client, value):
    for path in ("/auth/refresh", "/auth/logout"):
        response = client.post(path, environ_overrides={"HTTP_COOKIE": value})

        assert response.status_code == 401
        assert code_of(response) in ("MISSING_TOKEN", "INVALID_TOKEN")
        assert "Set-Cookie" not in response.headers


MALFORMED_ETAGS = [
    "",
    '"',
    '""',
    "*,*",
    "W/",
    'W/"',
    '"' * 4000,
    "," * 4000,
    '"\xff"',
    "9",
    "-1",
    '"-1"',
    '"1e1"',
    '"\xb2"',
    '"' + "9" * 4000 + '"',
    "W/*",
]


@pytest.mark.parametrize("etags", MALFORMED_ETAGS)
def test_malformed_if_match_returns_412(alice, etags):
    movie = alice.post("/movies", json={"title": "Alien"}).json
    for method, body in [("PATCH", {"json": {"title": "Aliens"}}), ("DELETE", {})]:
        response = alice.open(
            f"/movies/{movie['id']}",
            method=method,
            environ_overrides={"HTTP_IF_MATCH": etags},
            **body,
        )

        assert code_of(response) == "PRECONDITION_FAILED"
        assert alice.get(f"/movies/{movie['id']}").json == movie


@pytest.mark.parametrize("etags", ['"x"', *MALFORMED_ETAGS])
def test_malformed_conditional_headers_do_not_affect_get(alice, etags):
    movie = alice.post("/movies", json={"title": "Alien"}).json
    for name in (
        "IF_NONE_MATCH",
        "IF_MATCH",
        "IF_MODIFIED_SINCE",
        "IF_UNMODIFIED_SINCE",
        "IF_RANGE",
    ):
        headers = {"HTTP_IF_NONE_MATCH": '"x"', "HTTP_RANGE": "bytes=0-1", f"HTTP_{name}": etags}

        response = alice.get(f"/movies/{movie['id']}", environ_overrides=headers)

        assert response.status_code == 200
        assert response.json == movie


@pytest.mark.parametrize(
    "value",
    ["", " ", "\xff", "a b", "a\tb", "x" * 129, "é", "<script>", "../..", "%0a", '"', "\x7f"],
)
def test_malformed_request_id_is_replaced(client, value):
    response = client.get("/health", environ_overrides={"HTTP_X_REQUEST_ID": value})

    assert response.status_code == 200
    assert len(response.headers["X-Request-ID"]) == 32


MALFORMED_HOSTS = [
    "",
    "[",
    "[::1",
    "]",
    "a b",
    "a:b:c",
    "localhost:99999",
    "localhost:x",
    "\xff",
    "a" * 5000,
    "@",
    "a/../b",
    "<script>",
    ":",
    "xn--\xff",
]
HOST_HEADERS = [
    "HOST",
    "ORIGIN",
    "X_FORWARDED_HOST",
    "X_FORWARDED_PROTO",
    "X_FORWARDED_FOR",
    "FORWARDED",
    "REFERER",
    "SEC_FETCH_SITE",
]


@NO_DATABASE
@pytest.mark.parametrize("hops", ["0", "2"])
@pytest.mark.parametrize("name", HOST_HEADERS)
def test_malformed_host_or_origin_is_rejected(database, app, tmp_path, name, hops):
    client = app_for(config_for(database.url, tmp_path, PROXY_HOPS=hops)).test_client()
    for value in MALFORMED_HOSTS:
        headers = {"HTTP_ORIGIN": "https://evil.example", f"HTTP_{name}": value}
        response = client.post("/auth/signup", json=SIGNUP, environ_overrides=headers)
        preflight = client.options(
            "/movies", environ_overrides={"HTTP_ACCESS_CONTROL_REQUEST_METHOD": "\xff", **headers}
        )

        assert code_of(response) in ("FORBIDDEN", "VALIDATION_ERROR")
        assert preflight.status_code in (200, 400)
        assert preflight.headers.get("Access-Control-Allow-Origin") in (
            None,
            "http://localhost:3000",
        )


# --- over HTTP


def connect(service):
    """Return a connection to the running service."""
    address = urlsplit(service.url)
    return closing(http.client.HTTPConnection(address.hostname, address.port, timeout=20))


def chunks_of(body):
    """Yield the body in pieces, which http.client sends chunked."""
    for start in range(0, len(body), 1 << 16):
        yield body[start : start + (1 << 16)]


@pytest.fixture
def token(service):
    """An access token for the running service."""
    response = service.request("POST", "/auth/signup", SIGNUP)
    assert response.status == 201
    return response.json["accessToken"]


@pytest.mark.parametrize("is_chunked", [False, True], ids=["whole", "chunked"])
@pytest.mark.parametrize("size", [LIMIT + 1, MEGABYTES])
def test_oversized_body_returns_413_without_reset(service, token, size, is_chunked):
    body = b'{"title": "' + b"x" * size + b'"}'
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with connect(service) as connection:
        connection.request(
            "POST",
            "/images",
            chunks_of(body) if is_chunked else body,
            headers,
            encode_chunked=is_chunked,
        )
        response = connection.getresponse()

        assert response.status == 413
        assert json.loads(response.read())["error"]["code"] == "PAYLOAD_TOO_LARGE"


@pytest.mark.parametrize("is_chunked", [False, True], ids=["whole", "chunked"])
def test_body_without_content_type_returns_415(service, token, is_chunked):
    body, headers = b'{"title": "Alien"}', {"Authorization": f"Bearer {token}"}
    with connect(service) as connection:
        connection.request(
            "POST",
            "/movies",
            chunks_of(body) if is_chunked else body,
            headers,
            encode_chunked=is_chunked,
        )
        response = connection.getresponse()

        assert response.status == 415
        assert json.loads(response.read())["error"]["code"] == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize("is_chunked", [False, True], ids=["whole", "chunked"])
@pytest.mark.parametrize(
    ("route", "status"),
    [
        ("POST /movies", 401),
        ("POST /nowhere", 404),
        ("POST /health", 405),
        ("GET /health", 200),
        ("POST /auth/refresh", 415),
    ],
)
def test_unread_body_does_not_prevent_the_response(service, route, status, is_chunked):
    method, path = route.split()
    body = b"x" * MEGABYTES
    with connect(service) as connection:
        connection.request(
            method, path, chunks_of(body) if is_chunked else body, encode_chunked=is_chunked
        )
        response = connection.getresponse()

        assert response.status == status
        assert json.loads(response.read())


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
@pytest.mark.parametrize(("body", "status"), [([], 401), ([b"{}"], 401), ([b'{"a": 1}'], 400)])
def test_chunked_body_on_bodyless_endpoint_is_validated(service, path, body, status):
    with connect(service) as connection:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", path, iter(body), headers, encode_chunked=True)
        response = connection.getresponse()

        assert response.status == status
        assert json.loads(response.read())["error"]["code"]


def test_connection_is_reused_after_413(service, token):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with connect(service) as connection:
        for size, status in [(LIMIT, 413), (5, 201), (LIMIT, 413), (5, 201)]:
            path, body = (
                ("/movies", {"title": "x" * size}) if size == 5 else ("/images", {"x": "x" * size})
            )
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            assert response.status == status
            response.read()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /movies?search=" + b"x" * 20000 + b" HTTP/1.1\r\nHost: a",
        b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\nHost: a",
        b"GET /me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + b"x" * 20000,
        b"GET /me HTTP/1.1\r\nHost: a\r\nCookie: " + b"x" * 200000,
        b"GET /me HTTP/1.1\r\nHost: a" + b"\r\nX-A: b" * 5000,
        b"GET /me HTTP/1.1\r\nHost: a\r\n: no name",
        b"GET /me HTTP/1.1\r\nHost: a\r\nX-A: \0",
        b"GET /me HTTP/1.1\r\nHost : a",
        b"GET /me HTTP/1.1\r\nHost: a\r\n folded",
        b"GET /movies?\xff HTTP/1.1\r\nHost: a",
        b"GET /\xff HTTP/1.1\r\nHost: a",
        b"GET /me\0 HTTP/1.1\r\nHost: a",
        b"GET /me HTTP/9.9\r\nHost: a",
        b"GET /me HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 1\r\nContent-Length: 2",
        b"POST /movies HTTP/1.1\r\nHost: a\r\nContent-Length: -5",
        b"POST /movies HTTP/1.1\r\nHost: a\r\nContent-Length: 1e3",
        b"POST /movies HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        b"POST /movies HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz",
        b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz",
        b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{",
        b"GET me HTTP/1.1\r\nHost: a",
        b"GET http://evil.example/me HTTP/1.1\r\nHost: a",
        b"OPTIONS * HTTP/1.1\r\nHost: a",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: a",
        b"BREW /pot HTTP/1.1\r\nHost: a",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0",
        b"\r\n\r\n\r\nnonsense",
    ],
    ids=lambda head: ascii(head[:60]),
)
def test_malformed_http_request_returns_4xx(service, head):
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(head + b"\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(connection)
        response.begin()
        body = response.read()

    assert 400 <= response.status < 500
    assert "X-Request-ID" not in response.headers or json.loads(body)["error"]["code"]
    assert service.request("GET", "/health").status == 200
