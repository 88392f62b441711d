"""POST /movies/import: unreadable, oversized and misplaced files."""

from __future__ import annotations

import io
import json

import pytest

from ..helpers import titles
from ..import_helpers import form_file, import_file

pytestmark = pytest.mark.only_on("sqlite")  # what is tested does not depend on the database

MIB = 1 << 20


def file_error(response):
    """Return the error message about the file."""
    assert response.status_code == 400, response.text[:500]
    error = response.json["error"]
    assert error["code"] == "VALIDATION_ERROR"
    assert list(error["details"]) == ["file"]
    (message,) = error["details"]["file"]
    assert error["message"] == f"file: {message}"
    return message


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b" \r\n\n\t", "is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "The file is not text. Save it as CSV or JSON in UTF-8."),
        ("title\nAlien\n".encode("utf-16-le"), "The file is not text"),
        ("[{}]".encode("utf-16"), "The file is not UTF-8. Save it as JSON in UTF-8."),
        ('[{"title": "Zoë"}]'.encode("cp1252"), "The file is not UTF-8. Save it as JSON in UTF-8."),
        (b"\xff\xd8\xff\xe0JFIF", "is not a known header row"),
        (b"%PDF-1.7", "is not a known header row"),
        (b"hello", "'hello' is not a known header row. The service reads a table with a column such as title, name, movie or film"),
        (b"Alien,1979\nBrazil,1985\n", "Line 1: 'Alien,1979' is not a known header row"),
        (b"\n\nNom,An\nAlien,1979\n", "Line 3: 'Nom,An'"),
        (b"title,Title\nAlien,Aliens\n", "Line 1: The column 'title' appears twice."),
        (b"Name,Year,Letterboxd URI,Name\na,1,b,c\n", "Line 1: The column 'name' appears twice."),
        (b'title\n"Alien\nBrazil\n', "Line 2: unexpected end of data. Check for an unclosed quote"),
        (b'title\nBrazil\n"Ali"en"\n', "Line 3: ',' expected after '\"'. Check for"),
        (b"title\n" + b"x" * 131_073, "Line 2: field larger than field limit (131072)"),
        (b"title\nAlien\n" + b"x" * 262_145, "Line 3: the row is too long"),
        (b'title\n"' + b"x\n" * 131_073, "Line 2: field larger than field limit (131072)"),
        (b"title\n" + b'"x\n",' * 131_073, "the row is too long. Check for an unclosed quote."),
        (b"title\nAlien" + b"," * MIB, "Line 2: the row is too long"),
        (b"title," * MIB, "Line 1: 'title,title,"),
        (b"c," * 100_000 + b"\n", "is not a known header row"),
        (b"[", "The array is not closed: element 1 is cut off."),
        (b'[{"title": "Alien"},', "The array is not closed: element 2 is cut off."),
        (b'[{"title": "Alien"', "The array is not closed"),
        (b'[{"title": "Alien}]', "Element 1 is not JSON: a quote is not closed."),
        (b'[{"title": "Alien"},]', "Element 2 is not JSON"),
        (b'[{"title": "Alien"},,{"title": "x"}]', "Element 2 is not JSON"),
        (b'[{"title": "Alien"} {"title": "x"}]', "Element 1 is not JSON"),
        (b'[{"title": "Alien"}}', "The array does not end after element 1"),
        (b'[{"title": "Alien"}] []', "The file is not JSON"),
        (b"[{'title': 'Alien'}]", "Element 1 is not JSON"),
        (b'[{"title": NaN}]', "Element 1 is not JSON"),
        (b'[{"title": "\\ud800"}]', "Element 1 is not JSON"),
        (b'[{"title": "Al\nien"}]', "Element 1 is not JSON"),
        (b'[{"title": "Alien", "year": [1, [2]]]', "is not closed"),
        (b'[{"title": ' + b"[" * 2000 + b"]" * 2000 + b"}]", "Element 1 is not JSON"),
        (b"[" * MIB, "Element 1 is too large."),
        (b'[{"title": [' + b"[]," * MIB, "Element 1 is too large."),
        (b'[{"title": "' + b"x" * 70_000 + b'"}]', "Element 1 is too large."),
        (b'[{"title": "' + b"x" * 15 * MIB + b'"}]', "Element 1 is too large."),
        (b"[1, 2]", "No object: unknown format."),
        (b'["Alien"]', "No object"),
        (b'[{"nom": "Alien"}]', "'nom': unknown format. The service reads a table"),
        (b'{"data": {"items": [{"title": "Alien"}]}}', "'data': unknown format."),
        (b'{"items": [{"title": "Alien"}]', "The file is not JSON"),
        (b'{"items": [{"title": "Alien"}}', "The array does not end after element 1"),
        (b'{"items" [{"title": "Alien"}]}', "The file is not JSON"),
        (b'{[{"title": "Alien"}]}', "The file is not JSON"),
        (b'{"a": [1], "b": ["x"]}', "'a', 'b': unknown format."),
        (b'{"a": {' + b'"b": {},' * 10_000 + b"}}", "too much data outside its array"),
        (b"[{}]", "No object"),
        (b"{}", "No object"),
        (b'{"title": "Alien"', "The file is not JSON"),
        (b'{"title": "Alien"}\n{"title": "x"} x\n', "Line 2 is not JSON"),
        (b'{"title": "' + b"x" * 70_000 + b'"}', "The file is too large."),
        (b'{"title": "' + b"x" * 15 * MIB + b'"}', "The file is too large."),
        (b'{"title": 1}\n' + b"[" * 100_000, "Line 2 is too large."),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else "",
)  # fmt: skip
def test_unreadable_file_returns_400_with_the_reason(alice, file, expected):
    message = file_error(import_file(alice, file))

    assert expected in message
    assert len(message) < 400
    assert titles(alice) == []


def test_empty_json_array_is_accepted(alice):
    response = import_file(alice, "[ ]")

    assert response.status_code == 200
    assert response.json == {
        "format": "json",
        "encoding": "utf-8",
        "dryRun": False,
        "counts": {"added": 0, "skipped": 0, "rejected": 0},
        "rows": [],
        "ignoredColumns": [],
        "rejected": None,
        "rejectedOmitted": 0,
    }


def test_csv_without_rows_is_accepted(alice):
    response = import_file(alice, "title\n")

    assert response.status_code == 200
    assert response.json["rows"] == []


@pytest.mark.parametrize("query", ["?x=1", "?dryRun=x"])
def test_parameters_are_validated_before_the_file(alice, query):
    response = import_file(alice, b"\0", query)

    assert response.status_code == 400
    assert "file" not in response.json["error"]["details"]


def test_file_of_maximum_size_is_imported(make_app, alice):
    client = make_app(IMPORT_MAX_BYTES="2000").test_client()
    client.token = alice.token
    file = b"title\nAlien\n" + b"\n" * 1988

    chunked = {
        "input_stream": io.BytesIO(file),
        "environ_overrides": {"wsgi.input_terminated": True},
    }
    for options in ({"data": file}, form_file("movies.csv", file), chunked):
        response = client.post("/movies/import", **options)
        assert response.status_code == 200
    assert titles(alice) == ["Alien"]


@pytest.mark.parametrize("size", [2001, 2002, 100_000])
def test_oversized_file_returns_413(make_app, alice, size):
    client = make_app(IMPORT_MAX_BYTES="2000", MAX_BODY_BYTES="1024").test_client()
    client.token = alice.token
    file = b"title\nAlien\n".ljust(size, b"\n")
    chunked = {
        "input_stream": io.BytesIO(file),
        "environ_overrides": {"wsgi.input_terminated": True},
    }

    for options in ({"data": file}, form_file("movies.csv", file), chunked):
        response = client.post("/movies/import", **options)

        assert response.status_code == 413
        assert response.json["error"]["code"] == "PAYLOAD_TOO_LARGE"
    assert titles(alice) == []


def test_other_endpoints_keep_the_small_body_limit(alice):
    assert import_file(alice, "title\n" + "\n" * 100_000).status_code == 200

    assert alice.post("/movies", json={"title": "x" * 70_000}).status_code == 413
    assert alice.post("/auth/login", json={"email": "x" * 70_000}).status_code == 413


@pytest.mark.parametrize(
    "file", ["title\na\nb\nc\nd\n", '[{"title":"a"},{"title":"b"},{"title":"c"},{"title":"d"}]', '{"title":"a"}\n' * 4, "title\na\n\n\n\n"]
)  # fmt: skip
def test_file_with_too_many_rows_returns_400(make_app, alice, file):
    client = make_app(IMPORT_MAX_ROWS="3").test_client()
    client.token = alice.token

    assert file_error(import_file(client, file)) == "The file has more than 3 rows. Split it."
    assert titles(alice) == []
    assert import_file(client, "title\na\nb\nc\n").json["counts"]["added"] == 3


def test_form_with_misplaced_file_returns_400(alice):
    missing = "Send one file with a filename in the form field `file`."
    multipart = {"content_type": "multipart/form-data"}
    assert file_error(alice.post("/movies/import", data={}, **multipart)) == missing
    assert file_error(alice.post("/movies/import", data=b"x", **multipart)) == missing
    assert file_error(alice.post("/movies/import", data={"file": "title"}, **multipart)) == missing
    two = {"file": [(io.BytesIO(b"title\na"), "a.csv"), (io.BytesIO(b"title\nb"), "b.csv")]}
    assert file_error(alice.post("/movies/import", data=two, **multipart)) == missing


def test_unknown_form_fields_return_400(alice):
    data = {"file": (io.BytesIO(b"title\na"), "a.csv"), "dryRun": "true", "more": (io.BytesIO(b""), "b")}  # fmt: skip
    response = alice.post("/movies/import", data=data, content_type="multipart/form-data")

    assert response.status_code == 400
    assert response.json["error"]["details"] == {
        "dryRun": ["Unknown field."],
        "more": ["Unknown field."],
    }
    assert titles(alice) == []


def test_form_with_many_fields_returns_400(alice):
    for count, fields in ((20, 20), (21, 1)):
        data = {f"field{number}": "x" for number in range(count)}
        response = alice.post("/movies/import", data=data, content_type="multipart/form-data")

        assert response.status_code == 400
        assert len(response.json["error"]["details"]) == fields


@pytest.mark.parametrize(
    "body",
    [
        b"--x\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\ntitle\nAlien",
        b"--x\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\ntitle\r\n--x\r\n",
        b"--y\r\n\r\n--y--",
        b"\xff\0",
    ],
)
def test_malformed_form_returns_400(alice, body):
    for kind in ("multipart/form-data; boundary=x", "multipart/form-data", "multipart/form-data; boundary=\xe4"):  # fmt: skip
        response = alice.post("/movies/import", data=body, content_type=kind)

        assert "in the form field `file`" in file_error(response)
    assert titles(alice) == []


def test_form_part_without_name_returns_400(alice):
    body = b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n--x--\r\n"
    response = alice.post(
        "/movies/import", data=body, content_type="multipart/form-data; boundary=x"
    )

    assert response.status_code == 400
    assert response.json["error"]["details"] == {"": ["Unknown field."]}


def test_braces_and_quotes_in_strings_are_imported(alice):
    texts = ['"', "\\", "]", "[", "{", "}", ",", '\\"', "},{", '"]', "\\\\"]
    response = import_file(
        alice, json.dumps([{"title": title, "imageUrl": None} for title in texts], indent=1)
    )

    assert response.status_code == 200
    assert titles(alice) == texts
