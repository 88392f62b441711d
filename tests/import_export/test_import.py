"""POST /movies/import: files in the service's own formats, and the result of each row."""
# ruff: noqa: RUF001  the test data contains look-alike characters

from __future__ import annotations

import json

import pytest

from ..helpers import ALIEN, FORMATS, titles
from ..import_helpers import TRICKY, fill, form_file, import_file

DUPLICATE = "Already in your collection."


def counts(added=0, skipped=0, rejected=0):
    return {"added": added, "skipped": skipped, "rejected": rejected}


def row(line, action="added", reason=None):
    return {"line": line, "action": action, "reason": reason}


def without_ids_and_times(file, file_format):
    """Return an export without the values that differ between accounts."""
    if file_format == "csv":
        return [line.split(",", 1)[1].rsplit(",", 2)[0] for line in file.text.split("\r\n") if line]
    lines = file.text.splitlines()
    changing = ("id", "ownerId", "createdAt", "updatedAt")
    objects = [json.loads(line.rstrip(",")) for line in lines if len(line) > 1]
    return [{name: each[name] for name in each if name not in changing} for each in objects]


def test_json_array_is_imported(alice):
    response = import_file(
        alice, json.dumps([ALIEN, {"title": "Brazil", "year": 1985}, {"title": "Solaris"}])
    )

    assert response.status_code == 200
    assert response.json == {
        "format": "json",
        "encoding": "utf-8",
        "dryRun": False,
        "counts": counts(added=3),
        "rows": [row(1), row(2), row(3)],
        "ignoredColumns": [],
        "rejected": None,
        "rejectedOmitted": 0,
    }
    added = alice.get("/movies").json["items"]
    assert [(each["title"], each["year"], each["imageUrl"]) for each in added] == [
        ("Alien", "1979", ALIEN["imageUrl"]),
        ("Brazil", "1985", None),
        ("Solaris", None, None),
    ]
    assert len({each["createdAt"] for each in added}) == 1
    assert alice.get("/movies?limit=1").json["meta"]["total"] == 3
    assert [
        each["title"] for each in alice.get("/movies?search=braz&sort=title").json["items"]
    ] == ["Brazil"]


def test_ndjson_is_imported(alice):
    response = import_file(alice, '\n{"title": "Alien"}\r\n\n{"title": "Brazil"}')

    assert response.status_code == 200
    assert response.json == {
        "format": "ndjson",
        "encoding": "utf-8",
        "dryRun": False,
        "counts": counts(added=2),
        "rows": [row(2), row(4)],
        "ignoredColumns": [],
        "rejected": None,
        "rejectedOmitted": 0,
    }
    assert titles(alice) == ["Alien", "Brazil"]


def test_csv_is_imported(alice):
    response = import_file(
        alice, 'title,year,imageUrl\n"Alien, or so",1979,\n\nBrazil,,https://example.com/b.jpg\n'
    )

    assert response.status_code == 200
    assert response.json == {
        "format": "csv",
        "encoding": "utf-8",
        "dryRun": False,
        "counts": counts(added=2),
        "rows": [row(2), row(4)],
        "ignoredColumns": [],
        "rejected": None,
        "rejectedOmitted": 0,
    }
    added = alice.get("/movies").json["items"]
    assert [(each["title"], each["year"], each["imageUrl"]) for each in added] == [
        ("Alien, or so", "1979", None),
        ("Brazil", None, "https://example.com/b.jpg"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "title,year\nAlien,1979\nBrazil,1985\n",
        "title;year\nAlien;1979\nBrazil;1985\n",
        "title\tyear\r\nAlien\t1979\r\nBrazil\t1985",
        "\ufefftitle,year\r\nAlien,1979\r\nBrazil,1985\r\n",
        " Title ,YEAR\nAlien, 1979 \n Brazil ,1985\n",
        '"title","year"\r"Alien","1979"\r"Brazil","1985"\r',
        "year,title,,\n1979,Alien,,\n1985,Brazil,,\n",
        "\n\ntitle,year\nAlien,1979\n,,\nBrazil,1985\n",
    ],
)
def test_csv_dialects_are_imported(alice, text):
    response = import_file(alice, text)

    assert response.status_code == 200
    assert response.json["counts"] == counts(added=2)
    assert [(each["title"], each["year"]) for each in alice.get("/movies").json["items"]] == [
        ("Alien", "1979"),
        ("Brazil", "1985"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_utf8_and_windows_1252_are_imported(alice, encoding):
    response = import_file(alice, "title\nAmélie – L’été\n".encode(encoding))

    assert response.status_code == 200
    assert titles(alice) == ["Amélie – L’été"]


@pytest.mark.parametrize("media_type", [None, "text/csv", "application/vnd.ms-excel", "application/json", "application/x-www-form-urlencoded", "nonsense"])  # fmt: skip
def test_import_ignores_the_content_type(alice, media_type):
    response = import_file(alice, "title,year\nAlien,1979\n", content_type=media_type)

    assert response.status_code == 200
    assert titles(alice) == ["Alien"]


@pytest.mark.parametrize("name", ["movies.csv", "x", "movies.png"])
def test_file_in_a_form_is_imported(alice, name):
    response = alice.post("/movies/import", **form_file(name, b"title,year\nAlien,1979\n"))

    assert response.status_code == 200
    assert response.json["rows"] == [row(2)]
    assert titles(alice) == ["Alien"]


@pytest.mark.parametrize("file_format", FORMATS)
def test_export_can_be_imported_unchanged(alice, bob, file_format):
    for number, title in enumerate([*TRICKY, *TRICKY[:9], "Alien", "Alien"]):
        image = {"imageUrl": f"https://example.com/=,;'{number}.jpg"} if number % 2 else {}
        body = {"title": title, "year": [None, "0001", "9999"][number % 3], **image}
        assert alice.post("/movies", json=body).status_code == 201
    first = alice.get(f"/movies/export?format={file_format}")

    response = import_file(bob, first.data)

    assert response.status_code == 200
    assert response.json["format"] == file_format
    assert response.json["counts"] == counts(added=len(TRICKY) + 11)
    second = bob.get(f"/movies/export?format={file_format}")
    left, right = (without_ids_and_times(each, file_format) for each in (first, second))
    assert left == right
    assert import_file(bob, first.data).json["counts"] == counts(skipped=len(TRICKY) + 11)
    assert (
        without_ids_and_times(bob.get(f"/movies/export?format={file_format}"), file_format) == left
    )


@pytest.mark.parametrize("file_format", FORMATS)
def test_import_keeps_the_order_of_an_export(alice, bob, database, file_format):
    fill(database, alice.user["id"], 3210)

    response = import_file(bob, alice.get(f"/movies/export?format={file_format}").data)

    assert response.status_code == 200
    assert response.json["counts"] == counts(added=3210)
    assert titles(bob) == [f"Movie {number}" for number in range(3210, 0, -1)]
    assert bob.get("/movies?limit=1").json["meta"]["total"] == 3210


def test_imported_movies_are_listed_before_existing_ones(alice):
    alice.post("/movies", json={"title": "Old"})

    assert import_file(alice, "title\nFirst\nSecond\n").status_code == 200

    assert titles(alice) == ["First", "Second", "Old"]


@pytest.mark.parametrize("query", ["", "?onDuplicate=skip"])
def test_duplicates_are_skipped_by_default(alice, query):
    alice.post("/movies", json={"title": "Amélie", "year": "2001"})

    response = import_file(alice, "title,year\nAMELIE,2001\nAmélie,2002\nAmélie,\n", query)

    assert response.status_code == 200
    assert response.json["counts"] == counts(added=2, skipped=1)
    assert response.json["rows"] == [row(2, "skipped", DUPLICATE), row(3), row(4)]
    assert response.json["rejected"] is None


def test_duplicates_are_added_with_on_duplicate_allow(alice):
    for _ in range(2):
        response = import_file(alice, "title,year\nAlien,1979\nAlien,1979\n", "?onDuplicate=allow")

        assert response.status_code == 200
        assert response.json["counts"] == counts(added=2)
    assert titles(alice) == ["Alien"] * 4


def test_duplicates_are_rejected_with_on_duplicate_error(alice):
    alice.post("/movies", json={"title": "Alien", "year": "1979"})

    response = import_file(
        alice, "title,year\r\nalien,1979\r\nBrazil,1985\r\n", "?onDuplicate=error"
    )

    assert response.status_code == 200
    assert response.json == {
        "format": "csv",
        "encoding": "utf-8",
        "dryRun": False,
        "counts": counts(added=1, rejected=1),
        "rows": [row(2, "rejected", DUPLICATE), row(3)],
        "ignoredColumns": [],
        "rejected": "title,year\r\nalien,1979\r\n",
        "rejectedOmitted": 0,
    }


def test_each_existing_movie_makes_one_row_a_duplicate(alice):
    alice.post("/movies", json={"title": "Alien"})

    emmas = [
        {"title": title, "id": number} for number, title in enumerate(("Alien", "ALIEN", "alien"))
    ]
    response = import_file(alice, json.dumps(emmas))

    assert response.json["rows"] == [row(1, "skipped", DUPLICATE), row(2), row(3)]
    assert titles(alice) == ["ALIEN", "alien", "Alien"]
    assert import_file(alice, json.dumps(emmas)).json["counts"] == counts(skipped=3)


@pytest.mark.parametrize(
    "file", ["title\nAlien\nALIEN\n", '[{"title": "Alien"}, {"title": "ALIEN"}]']
)
def test_repeated_row_is_added_once(alice, file):
    response = import_file(alice, file)

    assert response.json["counts"] == counts(added=1, skipped=1)
    assert response.json["rows"][1]["reason"] == "Duplicate of an earlier row."


def test_movies_of_other_users_are_no_duplicates(alice, bob):
    import_file(alice, "title\nAlien\n")

    assert import_file(bob, "title\nAlien\n").json["counts"] == counts(added=1)


def test_dry_run_returns_the_result_and_changes_nothing(alice, database):
    alice.post("/movies", json={"title": "Alien"})
    file = "title,year\nAlien,\nBrazil,1985\nSolaris,soon\n"
    before = database.execute("select * from movies"), database.execute("select * from users")

    dry = import_file(alice, file, "?dryRun=true")

    assert dry.status_code == 200
    assert before == (
        database.execute("select * from movies"),
        database.execute("select * from users"),
    )
    real = import_file(alice, file, "?dryRun=false")
    assert dry.json == {**real.json, "dryRun": True}
    assert real.json["counts"] == counts(added=1, skipped=1, rejected=1)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"title": ""}, "title: Must not be empty."),
        ({"title": " "}, "title: Must not be empty."),
        ({"title": None}, "title: Must not be null."),
        ({"title": 12}, "title: Not a valid string."),
        ({"year": "1979"}, "title: Required."),
        ({"title": "x" * 256}, "title: Must be at most 255 characters."),
        ({"title": "a\nb"}, "title: Must not contain control characters."),
        ({"title": "a\u0000b"}, "title: Must not contain control characters."),
        ({"title": "\u3164"}, "title: Must contain visible characters."),
        ({"title": "x", "year": "99"}, "year: Must be a four-digit year, e.g. 1999."),
        ({"title": "x", "year": 1999.5}, "year: Not a valid string."),
        ({"title": "x", "imageUrl": "alien.jpg"}, "imageUrl: Must be an http:// or https:// URL."),
        ({"title": "x", "imageUrl": f"https://example.com/{'x' * 2048}"}, "imageUrl: Must be at most 2048 characters."),
        ({"title": "x", "imageUrl": "javascript:x"}, "imageUrl: Must be an http:// or https:// URL."),
        ({"title": "x", "imageUrl": "data:image/png;base64,AAAA"}, "imageUrl: The file is not a valid image. Use JPEG, PNG, WebP, GIF or AVIF."),
        ({"title": "x", "imageUrl": "data:text/html;base64,AAAA"}, "imageUrl: A data: URL must contain an image: data:image/...;base64,..."),
        ({"title": "x", "Title": "y"}, "The column 'title' appears twice."),
        ({"title": "x", "rating": 4.5}, "rating: Must be an integer between 1 and 10."),
        ({"title": "x", "rating": True}, "rating: Must be an integer between 1 and 10."),
        ({"title": "x", "rating": "NaN"}, "rating: Must be an integer between 1 and 10."),
        ({"title": "x", "watchedOn": "05/03/1999"}, "watchedOn: Must be a date, e.g. 2024-05-31."),
        ({"title": "x", "notes": "x" * 2001}, "notes: Must be at most 2000 characters."),
        ({"title": "", "year": "x"}, "title: Must not be empty. year: Must be a four-digit year, e.g. 1999."),
        ({"title": "x", "year": {"a": [1]}}, "year: Not a valid string."),
        ([], 'Must be an object, e.g. {"title": "Alien"}.'),
        (None, 'Must be an object, e.g. {"title": "Alien"}.'),
        ("Alien", 'Must be an object, e.g. {"title": "Alien"}.'),
    ],
)  # fmt: skip
def test_rows_are_validated_like_movies(alice, value, reason):
    for file in (
        json.dumps([ALIEN, value, {"title": "Last"}]),
        "\n".join(map(json.dumps, [ALIEN, value, {"title": "Last"}])),
    ):
        response = import_file(alice, file, "?onDuplicate=allow")

        assert response.status_code == 200
        assert response.json["counts"] == counts(added=2, rejected=1)
        assert response.json["rows"] == [row(1), row(2, "rejected", reason), row(3)]
        assert response.json["rejected"] == [value]
    assert titles(alice) == ["Alien", "Last"] * 2


def test_import_ignores_read_only_fields(alice):
    movie = alice.post("/movies", json=ALIEN).json

    response = import_file(
        alice, json.dumps([{**movie, "title": "Aliens", "id": "x", "ownerId": 7}])
    )

    assert response.json["counts"] == counts(added=1)
    assert alice.get("/movies").json["meta"]["total"] == 2


def test_unknown_columns_are_reported_up_to_a_limit(alice):
    names = [f"key{number}{'x' * 120}" for number in range(1200)]
    rows = [{"title": name, name: 1} for name in names]

    response = import_file(alice, json.dumps(rows))

    assert response.json["counts"] == counts(added=1200)
    assert response.json["ignoredColumns"] == [name[:100] for name in names[:1000]]


def test_rejected_csv_rows_can_be_corrected_and_imported(alice):
    file = (
        'Title;Year\r\n"Alien; or\r\nso";1979\r\nBrazil;1985\r\n"He said ""no""";soon\r\n\'=1+1;99\r\n'
        "a;1999;more\r\nLast;x"
    )
    response = import_file(alice, file)

    assert response.status_code == 200
    assert response.json["rows"] == [
        row(2, "rejected", "title: Must not contain control characters."),
        row(4),
        row(5, "rejected", "year: Must be a four-digit year, e.g. 1999."),
        row(6, "rejected", "year: Must be a four-digit year, e.g. 1999."),
        row(
            7, "rejected", "The row has more cells than the header. Put text with commas in quotes."
        ),
        row(8, "rejected", "year: Must be a four-digit year, e.g. 1999."),
    ]
    rejected = response.json["rejected"]
    assert rejected == (
        'Title;Year\r\n"Alien; or\r\nso";1979\r\n"He said ""no""";soon\r\n\'=1+1;99\r\na;1999;more\r\nLast;x\r\n'
    )
    corrected = rejected.replace("\r\nso", "so").replace("soon", "1999").replace(";99\r", ";1999\r")
    corrected = corrected.replace(";more", "").replace(";x", ";")
    again = import_file(alice, corrected)
    assert again.json["counts"] == counts(added=5)
    assert titles(alice) == ["Alien; orso", 'He said "no"', "=1+1", "a", "Last", "Brazil"]


def test_rejected_json_rows_can_be_corrected_and_imported(alice):
    response = import_file(
        alice,
        '[{"title":"Alien","year":"x","id":123456789012345678901234567890}, {"title":"Brazil"}]',
    )

    assert '{"title":"Alien","year":"x","id":123456789012345678901234567890}' in response.text
    (rejected,) = response.json["rejected"]
    again = import_file(alice, json.dumps([{**rejected, "year": "1979"}]))
    assert again.json["counts"] == counts(added=1)
    assert titles(alice) == ["Alien", "Brazil"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?dryRun=yes", "dryRun"),
        ("?dryRun=1", "dryRun"),
        ("?dryRun=True", "dryRun"),
        ("?dryRun=true&dryRun=false", "dryRun"),
        ("?onDuplicate=replace", "onDuplicate"),
        ("?dryrun=true", "dryrun"),
        ("?format=csv", "format"),
    ],
)
def test_invalid_import_parameter_returns_400(alice, query, field):
    response = import_file(alice, "title\nAlien\n", query)

    assert response.status_code == 400
    assert response.json["error"]["code"] == "VALIDATION_ERROR"
    assert list(response.json["error"]["details"]) == [field]
    assert titles(alice) == []


def test_anonymous_import_returns_401(client):
    assert import_file(client, "title\nAlien\n").json["error"]["code"] == "MISSING_TOKEN"


def test_api_token_can_import(alice, make_client):
    script = make_client()
    script.token = alice.post("/auth/tokens", json={"name": "Backup"}).json["token"]

    assert import_file(script, "title\nAlien\n").json["counts"] == counts(added=1)
    assert titles(alice) == ["Alien"]


def test_import_accepts_only_post(alice):
    response = alice.get("/movies/import")

    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


def test_import_needs_one_statement_per_1000_movies(alice, bob, database):
    fill(database, alice.user["id"], 2500)
    file = alice.get("/movies/export?format=ndjson").data

    assert import_file(bob, file).json["counts"] == counts(added=2500)

    # authentication, the user's row, the existing movies and three batches
    assert len(bob.statements) == 6
    assert import_file(bob, file).json["counts"] == counts(skipped=2500)
    assert len(bob.statements) == 3
