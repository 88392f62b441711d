"""Truncated, compressed and oversized request bodies are rejected and change nothing."""

from __future__ import annotations

import json
import socket
import threading
from io import BytesIO

import pytest
from werkzeug.serving import make_server

from ..helpers import titles
from ..image_helpers import data_url, make_image, path_of, request_upload
from ..import_helpers import import_file

pytestmark = pytest.mark.only_on("sqlite")  # what is tested does not depend on the database

FILE = b"title\nAlien\nBrazil\nSolaris\n"
MOVIE = json.dumps({"title": "Alien"}).encode()
HEADERS = b"--x\r\nContent-Disposition: form-data; name=file; filename=a.csv\r\n\r\n"
MULTIPART = HEADERS + FILE + b"\r\n--x--\r\n"
BODIES = {
    "raw file": ("/movies/import", FILE, "text/csv"),
    "form": ("/movies/import", MULTIPART, "multipart/form-data; boundary=x"),
    "lines of JSON": ("/movies/import", b'{"title": "A"}\n{"title": "B"}\n', "text/plain"),
    "JSON": ("/movies", MOVIE, "application/json"),
}
TERMINATED = {"wsgi.input_terminated": True}  # as gunicorn and waitress set it


def send_form(client, file, query=""):
    """Send a file as multipart/form-data; the test client's own form leaves a large file open."""
    body = HEADERS + file + b"\r\n--x--\r\n"
    kind = "multipart/form-data; boundary=x"
    return client.post(f"/movies/import{query}", data=body, content_type=kind)


def truncated(body, declared, *, is_terminated):
    """Return the options of a request whose body is shorter than its Content-Length."""
    environ = {**(TERMINATED if is_terminated else {}), "CONTENT_LENGTH": str(declared)}
    return {"input_stream": BytesIO(body), "environ_overrides": environ}


@pytest.mark.parametrize("is_terminated", [True, False])
@pytest.mark.parametrize("kind", BODIES)
def test_truncated_body_returns_400_and_changes_nothing(alice, kind, is_terminated):
    path, body, media_type = BODIES[kind]
    # Also a body that ends with a complete line or object
    for declared in (len(body) + 1, len(body) + 70_000):
        response = alice.post(
            path, content_type=media_type, **truncated(body, declared, is_terminated=is_terminated)
        )

        assert response.status_code == 400
        assert response.json["error"] == {
            "code": "VALIDATION_ERROR",
            "message": "body: The request body is incomplete. Send the whole request again.",
            "details": {"body": ["The request body is incomplete. Send the whole request again."]},
            "fields": [
                {
                    "field": "body",
                    "code": "invalid",
                    "message": "The request body is incomplete. Send the whole request again.",
                }
            ],
        }
    assert titles(alice) == []


@pytest.mark.parametrize("is_terminated", [True, False])
def test_truncated_upload_returns_400_and_is_not_stored(alice, client, files, is_terminated):
    data = make_image()
    upload = request_upload(alice, data)
    body = truncated(data[:-20], len(data), is_terminated=is_terminated)

    response = client.put(path_of(upload["uploadUrl"]), content_type="image/png", **body)

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["body"]
    assert files() == []
    assert client.put(path_of(upload["uploadUrl"]), data=data).status_code == 201


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("is_chunked", [True, False])
def test_aborted_connection_changes_nothing(app, alice, kind, is_chunked):
    path, body, media_type = BODIES[kind]
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {len(body) + 9}"
    sent = f"{len(body):x}\r\n".encode() + body + b"\r\n" if is_chunked else body
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {alice.token}\r\n"
        f"Content-Type: {media_type}\r\n{length}\r\n\r\n"
    )
    try:
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as client:
            client.sendall(head.encode() + sent)
            client.shutdown(socket.SHUT_WR)
            response = client.makefile("rb").read()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

    assert b" 400 " in response.partition(b"\r\n")[0]
    assert b"is incomplete" in response
    assert titles(alice) == []


@pytest.mark.slow
def test_form_of_32_megabytes_is_imported(alice):
    movies = b"".join(b"Movie %06d,1979,%s\n" % (number, b" " * 308) for number in range(100_000))
    file = b"title,year,imageUrl\n" + movies
    assert 31 << 20 < len(file) < 32 << 20

    response = send_form(alice, file, "?dryRun=true")

    assert response.status_code == 200
    assert response.json["counts"] == {"added": 100_000, "skipped": 0, "rejected": 0}


@pytest.mark.parametrize("size", [65_000, 240_000, 3 << 20])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r", b"\n\n\r\n--"])
def test_form_accepts_any_line_ending(alice, size, line_end):
    file = b"title\nAlien\n" + b'"' + line_end * (size // len(line_end)) + b'"'
    # The content of the rows does not matter here, only that all of it arrives
    whole, form = (
        import_file(alice, file, "?dryRun=true"),
        send_form(alice, file, "?dryRun=true"),
    )

    assert form.status_code == whole.status_code
    assert form.json == whole.json


@pytest.mark.parametrize(
    "part",
    [
        b"Content-Disposition: form-data; name=file\r\n\r\n" + FILE,
        b"Content-Disposition: form-data; name=file\r\n\r\n" + b"x" * (2 << 20),
        b"Content-Disposition: form-data; name=other\r\n\r\n" + b"x" * (2 << 20),
        b"X: " + b"x" * (2 << 20),
        b"Content-Type: text/csv\r\n\r\n" + FILE,
    ],
    ids=["no file name", "large text", "large field", "large header", "no disposition"],
)
def test_form_without_file_names_the_expected_field(alice, part):
    response = alice.post(
        "/movies/import",
        data=b"--x\r\n" + part + b"\r\n--x--\r\n",
        content_type="multipart/form-data; boundary=x",
    )

    assert response.status_code == 400
    (message,) = response.json["error"]["details"]["file"]
    assert "in the form field `file`" in message
    assert titles(alice) == []


@pytest.mark.parametrize("is_chunked", [True, False])
def test_oversized_body_returns_413_with_limit(alice, make_app, is_chunked):
    client = make_app(IMPORT_MAX_BYTES="2000").test_client()
    client.token = alice.token

    def sent(body):
        return (
            {"input_stream": BytesIO(body), "environ_overrides": TERMINATED}
            if is_chunked
            else {"data": body}
        )

    multipart = {"content_type": "multipart/form-data; boundary=x"}
    message = "The file is too large: at most 2000 bytes are accepted. Split it."
    for size in (400, 4_000, 40_000):
        body = MULTIPART.replace(b"Alien\n", b"Alien\n" * size)
        for response in (
            client.post("/movies/import", **sent(b"title\n" * size)),
            client.post("/movies/import", **sent(body), **multipart),
        ):
            assert response.status_code == 413
            assert response.json["error"]["message"] == message
    json_type = {"content_type": "application/json"}
    for response, limit in (
        (client.post("/auth/login", **sent(b" " * 70_000), **json_type), "65536"),
        (client.post("/movies", **sent(b" " * 70_000), **json_type), "65536"),
        (client.post("/movies", **sent(b" " * (15 << 20)), **json_type), "14046553"),
    ):
        assert response.status_code == 413
        assert limit in response.json["error"]["message"]


def test_oversized_image_returns_413_with_limit(alice, client):
    url = data_url(bytes((10 << 20) + 1))
    response = alice.post("/movies", json={"title": "Alien", "imageUrl": url})
    assert (response.status_code, "10485760" in response.text) == (413, True)

    upload = request_upload(alice, make_image())
    response = client.put(path_of(upload["uploadUrl"]), data=make_image() + b"x")
    assert (response.status_code, str(len(make_image())) in response.text) == (413, True)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "GZIP", "identity, gzip", "x"])
def test_compressed_body_returns_415(alice, client, encoding):
    data = make_image()
    upload = request_upload(alice, data)
    more = {"headers": {"Content-Encoding": encoding}}
    movie = alice.post("/movies", json={"title": "Alien"}).json

    for response in (
        alice.post("/movies", json={"title": "Brazil"}, **more),
        alice.patch(f"/movies/{movie['id']}", json={"title": "Brazil"}, **more),
        alice.post("/movies/import", data=FILE, **more),
        alice.post("/auth/logout", **more),
        client.put(path_of(upload["uploadUrl"]), data=data, **more),
        client.post("/auth/login", json={}, **more),
    ):
        assert response.status_code == 415
        assert response.json["error"]["code"] == "UNSUPPORTED_MEDIA_TYPE"
        assert "Content-Encoding" in response.json["error"]["message"]
    assert titles(alice) == ["Alien"]


def test_identity_encoding_is_accepted(alice):
    for encoding in ("identity", " Identity ", ""):
        more = {"headers": {"Content-Encoding": encoding}}
        assert alice.post("/movies", json={"title": "Alien"}, **more).status_code == 201
