"""Randomly mutated requests get documented responses and never a 5xx.

`FUZZ_SEED=7 pytest tests/api/test_fuzz.py` repeats a run; a failure prints its seed.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import random
import secrets
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlsplit

import pytest
from werkzeug.test import create_environ

from ..client import PASSWORD

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("FUZZ_SEED") or secrets.randbelow(2**32))
REQUESTS, HTTP_REQUESTS, REQUESTS_PER_USER = 2500, 300, 250

TEXTS = [
    "", " ", "\0", "\x07\x1b[31m", "\x7f", "\x85", "\u2028", "\ufeff", "\ufffd", "\ud800", "\udfff\ud800", "\U0010ffff",
    "\ufdfa" * 255, "\u200b\u200d", "\u202eneila", "👩‍👩‍👧‍👦", "ıİßﬃ", "e\u0301" * 99, "١٩٩٩", "\uff11", "null", "true", "-0", "1e999",
    "9" * 20, "9" * 400, "-9223372036854775809", "18446744073709551616", "0x10", "NaN", "%", "%00", "%ff", "%zz", "_", "\\",
    "'", '"', "`", "';--", "{{7*7}}", "${x}", "<script>", "../../etc/passwd", "..%2f", "//", "?", "#", "&", "=", ";", ",",
    "title,", "-title,title", "-", "--title", "data:image/png;base64,", "http://[", "http://\u2100/", "javascript:x", "a" * 3000,
    "*", 'W/"1"', '"1", "2"', '"' * 99, "Bearer", "Bearer  ", "Basic Og==", "bytes=0-,1-", "Thu, 01 Jan 1970 00:00:00 GMT",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e308, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63), 10**40, [], {}, [[]], [None], {"": ""},
    {"title": {"title": "x"}}, ["Alien"] * 9,
]  # fmt: skip
FIELDS = [
    "title",
    "year",
    "imageUrl",
    "id",
    "ownerId",
    "version",
    "email",
    "name",
    "password",
    "remember",
    "role",
    "",
    "__proto__",
    "$ref",
]
PARAMETERS = [
    "page",
    "limit",
    "search",
    "year",
    "yearFrom",
    "yearTo",
    "sort",
    "cursor",
    "scope",
    "_method",
    "page[]",
    "",
]
METHODS = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "PROPFIND",
    "X-Y",
    "CONNECT",
]
HEADERS = [
    "Authorization", "Cookie", "Content-Type", "Origin", "Sec-Fetch-Site", "If-Match", "If-None-Match", "If-Modified-Since",
    "Range", "If-Range", "Accept", "Accept-Encoding", "X-Request-ID", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
    "X-HTTP-Method-Override", "Access-Control-Request-Method", "Access-Control-Request-Headers", "User-Agent", "Content-Encoding",
    "Cache-Control",
]  # fmt: skip
MEDIA_TYPES = [
    "application/json", "application/json; charset=utf-16", "application/json;;;", "APPLICATION/JSON", "text/plain", "text/json", "/", "",
    "multipart/form-data", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "application/json, text/plain",
]  # fmt: skip

MOVIE = b'{"title": "Alien", "year": "1979", "imageUrl": "https://example.com/a.jpg"}'
MOVIE_CSV = b'title,year,imageUrl\r\nAlien,1979,\r\n"\'=1, 2",,https://example.com/a.jpg\r\n'
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
MOVIE_FORM = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n%b\r\n--x--\r\n'
    % MOVIE
)


@dataclass(frozen=True)
class Draft:
    """An unsent request; `target` is its request target."""

    method: str
    target: bytes
    headers: dict[str, str]
    body: bytes = b""

    def environ(self) -> dict[str, Any]:
        """Return the WSGI environ."""
        path, _, query = self.target.partition(b"?")
        environ = create_environ(method=self.method, input_stream=None, data=self.body)
        environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1")
        environ["QUERY_STRING"] = query.decode("latin-1")
        for name, value in self.headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        return environ

    def wire(self) -> bytes:
        """Return the bytes to send."""
        lines = [
            f"{self.method} ".encode() + self.target + b" HTTP/1.1",
            b"Host: localhost",
            b"Connection: close",
        ]
        lines += [f"{name}: {value}".encode("latin-1") for name, value in self.headers.items()]
        lines += [b"Content-Length: %d" % len(self.body), b"", self.body]
        return b"\r\n".join(lines)


class Mutator:
    """Generates requests that are nearly valid."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def drafts(self, examples: list[Draft]) -> Iterator[Draft]:
        """Yield an endless series of drafts, each with one to four changes."""
        while True:
            draft = self.rng.choice(examples)
            for _ in range(self.rng.choice([1, 1, 1, 2, 2, 3, 4])):
                draft = self.change(draft)
            yield draft

    def change(self, draft: Draft) -> Draft:
        """Return the draft with one random change."""
        changes: list[Callable[[Draft], Draft]] = [
            self.method,
            self.path,
            self.query,
            self.query,
            self.header,
            self.header,
        ]
        changes += (
            [self.value, self.value, self.value, self.corrupt]
            if draft.body
            else [self.unexpected_body]
        )
        return self.rng.choice(changes)(draft)

    def method(self, draft: Draft) -> Draft:
        return replace(draft, method=self.rng.choice(METHODS))

    def path(self, draft: Draft) -> Draft:
        path, _, query = draft.target.partition(b"?")
        parts = path.split(b"/")
        spot = self.rng.randrange(1, len(parts))
        parts[spot] = self.rng.choice(
            [self.escape(self.text()), b"", b"..", parts[spot] * 2, parts[spot] + b"%20"]
        )
        return replace(
            draft, target=b"/" + b"/".join(parts).lstrip(b"/") + (b"?" + query if query else b"")
        )

    def query(self, draft: Draft) -> Draft:
        path, _, query = draft.target.partition(b"?")
        pairs = query.split(b"&") if query else []
        name = self.rng.choice(PARAMETERS) if self.rng.random() < 0.9 else self.text()
        pair = self.escape(name) + b"=" + self.escape(str(self.any_value()))
        pairs.insert(self.rng.randint(0, len(pairs)), self.rng.choice([pair, pair, pair, *pairs]))
        return replace(draft, target=path + b"?" + b"&".join(pairs))

    def header(self, draft: Draft) -> Draft:
        name = self.rng.choice(HEADERS)
        value = self.rng.choice(MEDIA_TYPES) if name == "Content-Type" else self.text()
        if name in draft.headers and self.rng.random() < 0.5:
            value = self.corrupt_bytes(draft.headers[name].encode("latin-1")).decode("latin-1")
        return replace(draft, headers={**draft.headers, name: self.header_value(value)})

    def value(self, draft: Draft) -> Draft:
        """Replace or add a field of the body, or wrap the body."""
        try:
            body = json.loads(draft.body)
        except (ValueError, RecursionError):
            return self.corrupt(draft)
        if not isinstance(body, dict) or self.rng.random() < 0.05:
            return replace(
                draft,
                body=json.dumps(self.rng.choice([[body], body or "x", self.nest(body)])).encode(),
            )
        name = self.rng.choice([*body, *FIELDS]) if self.rng.random() < 0.9 else self.text()
        body[name] = self.any_value()
        return replace(draft, body=json.dumps(body).encode())

    def corrupt(self, draft: Draft) -> Draft:
        return replace(draft, body=self.corrupt_bytes(draft.body))

    def unexpected_body(self, draft: Draft) -> Draft:
        body = self.rng.choice(
            [
                b"{}",
                b"[]",
                b"0",
                b"\xff\xfe{\0",
                b"a=b&c=d",
                b"--x\r\n\r\n",
                b"[" * 9000,
                b"x" * 70000,
            ]
        )
        return replace(draft, body=body)

    def any_value(self) -> Any:
        """Return a random JSON value."""
        if self.rng.random() < 0.6:
            return self.text()
        return (
            self.nest(self.rng.choice(VALUES))
            if self.rng.random() < 0.1
            else self.rng.choice(VALUES)
        )

    def nest(self, value: Any) -> Any:
        """Return the value nested in arrays and objects."""
        for _ in range(self.rng.choice([1, 10, 300])):
            value = [value] if self.rng.random() < 0.5 else {"title": value}
        return value

    def text(self) -> str:
        """Return text that often causes errors."""
        if self.rng.random() < 0.3:
            return "".join(
                chr(self.rng.randrange(limit))
                for limit in [0x250, 0x3000, 0x110000]
                for _ in range(3)
            )
        return "".join(self.rng.choices(TEXTS, k=self.rng.choice([1, 1, 1, 2])))

    def corrupt_bytes(self, data: bytes) -> bytes:
        """Return the bytes with some removed, repeated, flipped or added."""
        start = self.rng.randint(0, len(data))
        end = min(len(data), start + self.rng.choice([1, 1, 4, 40]))
        middle = self.rng.choice(
            [
                b"",
                data[start:end] * 2,
                bytes(byte ^ 1 << self.rng.randrange(8) for byte in data[start:end]),
                self.rng.randbytes(4),
                self.text().encode(errors="surrogatepass"),
            ]
        )
        return data[:start] + middle + data[end:]

    def escape(self, text: str) -> bytes:
        """Return the text for a URL: usually escaped, otherwise as raw as a request line allows."""
        data = text.encode(errors="surrogatepass")
        if self.rng.random() < 0.9:
            return quote_from_bytes(data, safe="").encode()
        return bytes(byte for byte in data if byte > 32 and byte not in b"#\x7f")[:2000]

    @staticmethod
    def header_value(text: str) -> str:
        """Return the text as a valid header value: UTF-8 bytes, decoded as latin-1, on one line."""
        data = text.encode(errors="surrogatepass")
        return (
            bytes(byte for byte in data if byte >= 32 and byte != 127)[:2000]
            .decode("latin-1")
            .strip()
        )


def valid_requests(name: str, signup: dict[str, Any], cookie: str, movie: int) -> list[Draft]:
    """Return valid requests of a user."""
    bearer = {"Authorization": f"Bearer {signup['accessToken']}"}
    cookies = {"Cookie": f"refreshToken={cookie}", "Origin": "http://localhost:3000"}
    json_type = {"Content-Type": "application/json"}
    edit = {"title": "Aliens", "year": "1986", "imageUrl": "https://example.com/a.jpg"}
    email = f"{name}@example.com"

    def json_request(method: str, path: str, body: dict[str, Any], **headers: str) -> Draft:
        return Draft(method, path.encode(), {**json_type, **headers}, json.dumps(body).encode())

    return [
        json_request(
            "POST", "/auth/signup", {"name": name, "email": f"new-{email}", "password": PASSWORD}
        ),
        json_request(
            "POST", "/auth/login", {"email": email, "password": PASSWORD, "remember": True}
        ),
        Draft("POST", b"/auth/refresh", cookies),
        Draft("POST", b"/auth/logout?scope=others", {**bearer, **cookies}),
        Draft("GET", b"/me", bearer),
        Draft("GET", b"/movies", bearer),
        Draft("GET", b"/movies?page=1&limit=20&search=alien&year=1979&sort=-title,year", bearer),
        Draft("GET", b"/movies?yearFrom=1970&yearTo=1999&cursor=", bearer),
        Draft("GET", b"/movies/%d" % movie, {**bearer, "If-None-Match": '"7"'}),
        json_request("POST", "/movies", edit, **bearer),
        json_request("PUT", f"/movies/{movie}", edit, **bearer),
        json_request("PATCH", f"/movies/{movie}", {"title": "x"}, **bearer, **{"If-Match": '"1"'}),
        Draft("DELETE", b"/movies/%d" % (movie + 1), {**bearer, "If-Match": "*"}),
        Draft("GET", b"/movies/export?format=csv", bearer),
        Draft("POST", b"/movies/import?onDuplicate=skip", bearer, MOVIE_CSV),
        Draft("POST", b"/movies/import?dryRun=true", bearer, b"[%b,\n%b]" % (MOVIE, MOVIE)),
        Draft("POST", b"/movies/import", bearer, MOVIE + b"\n" + MOVIE),
        Draft("POST", b"/movies/import", {**bearer, **FORM}, MOVIE_FORM),
        Draft("GET", b"/health", {}),
        Draft("GET", b"/ready", {}),
        Draft("GET", b"/docs", {}),
        Draft(
            "OPTIONS",
            b"/movies",
            {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"},
        ),
    ]


def new_user_requests(post: Callable[..., Any], number: int) -> list[Draft]:
    """Sign up a user and return valid requests; mutations end sessions and lose cookies."""
    name = f"person{number}"
    signed_up = post(
        "/auth/signup", {"name": name, "email": f"{name}@example.com", "password": PASSWORD}, None
    )
    signup = signed_up.json
    cookie = signed_up.headers["Set-Cookie"].partition(";")[0].partition("=")[2]
    movie, _ = (
        post("/movies", {"title": title}, signup["accessToken"]).json["id"]
        for title in ("Alien", "Solaris")
    )
    return valid_requests(name, signup, cookie, movie)


@pytest.fixture
def _check_movie_counts(database):
    """A check that each user's movie count is still correct."""
    yield
    counted = "select count(*) from movies where owner_id = users.id"
    assert database.execute(f"select email from users where movie_count <> ({counted})") == []


@pytest.mark.usefixtures("_check_movie_counts")
def test_mutated_requests_get_documented_responses(app, caplog):
    caplog.set_level(
        logging.ERROR, "movies_api"
    )  # thousands of request logs would hide the relevant one
    client = app.test_client(use_cookies=False)
    mutator = Mutator(random.Random(SEED))

    def post(path: str, body: dict[str, Any], token: str | None) -> Any:
        return client.post(
            path, json=body, headers={"Authorization": f"Bearer {token}"} if token else {}
        )

    for number in range(REQUESTS):
        if number % REQUESTS_PER_USER == 0:
            drafts = mutator.drafts(new_user_requests(post, number))
        draft = next(drafts)
        try:
            response = client.open(data=draft.body, environ_overrides=draft.environ())
            assert response.status_code < 500
        except Exception as error:  # noqa: BLE001  report the seed with any error
            pytest.fail(f"FUZZ_SEED={SEED}, request {number}: {draft}\n{error!r}")


def send_bytes(service, data: bytes) -> tuple[int, http.client.HTTPMessage, bytes] | None:
    """Send bytes on a new connection; return the response, or None if there is none."""
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(
            connection, method=data.partition(b" ")[0].decode("latin-1")
        )
        try:
            response.begin()
            return response.status, response.headers, response.read()
        except (http.client.RemoteDisconnected, ConnectionResetError):
            return None


@pytest.mark.usefixtures("_check_movie_counts")
def test_mutated_requests_over_http_get_documented_responses(service):
    mutator = Mutator(random.Random(SEED))
    drafts = mutator.drafts(
        new_user_requests(lambda path, body, token: service.request("POST", path, body, token), 0)
    )
    before = service.request("GET", "/health")

    for number in range(HTTP_REQUESTS):
        data = next(drafts).wire()
        is_corrupt = number % 4 == 0
        if is_corrupt:
            data = mutator.corrupt_bytes(data[:200]) + data[200:]
        response = send_bytes(service, data)
        context = f"FUZZ_SEED={SEED}, request {number}: {data!r}\n{response}"
        # an invalid request gets no response, or one from the HTTP server
        assert response or is_corrupt, context
        if response:
            status, headers, body = response
            assert status < 500, context
            assert (
                status < 400
                or "X-Request-ID" not in headers
                or not body
                or "error" in json.loads(body)
            ), context

    assert before.status == service.request("GET", "/health").status == 200
    assert "Traceback" not in service.log
