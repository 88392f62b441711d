"""Limits of an import: the size of its response and the time for its images."""

from __future__ import annotations

import json

import pytest

from ..helpers import titles
from ..image_helpers import data_url, make_image
from ..import_helpers import import_file

REASON = "year: Must be a four-digit year, e.g. 1999."


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_response_contains_the_first_1000_rejected_csv_rows(alice, end):
    rows = [f'"Film ""{number}"", ü",{"soon" if number % 2 else 1999}' for number in range(4000)]
    file = end.join(["title,year", *rows, ""])

    response = import_file(alice, file, "?dryRun=true")

    assert response.status_code == 200
    assert response.json["counts"] == {"added": 2000, "skipped": 0, "rejected": 2000}
    assert response.json["rows"][1::2] == [
        {"line": line, "action": "rejected", "reason": REASON} for line in range(3, 4002, 2)
    ]
    assert response.json["rejected"] == end.join(["title,year", *rows[1:2000:2], ""])
    assert response.json["rejectedOmitted"] == 1000


def test_response_contains_the_first_1000_rejected_objects(alice):
    rows = [{"title": f"Film {number}", "year": "soon"} for number in range(1001)]

    for file in (json.dumps(rows), "\n".join(map(json.dumps, rows))):
        response = import_file(alice, file)

        assert response.status_code == 200
        assert response.json["rejected"] == rows[:1000]
        assert response.json["rejectedOmitted"] == 1
        assert len(response.json["rows"]) == 1001


def test_response_size_is_limited_when_rejected_rows_are_large(alice):
    wide = [f"Film {number},{chr(1) * 100_000}" for number in range(200)]

    response = import_file(alice, "\n".join(["title,year", *wide]))

    assert response.status_code == 200
    shown = 200 - response.json["rejectedOmitted"]
    # Each takes six bytes a character in JSON
    assert 20 < shown < (16 << 20) // 600_000 + 1
    assert response.json["rejected"] == "\n".join(["title,year", *wide[:shown], ""])
    assert len(response.data) < 17 << 20


@pytest.mark.slow
def test_response_size_is_limited_when_reasons_are_long(alice):
    names = [f"{letter * 60}" for letter in "abcdef"]
    row = json.dumps(dict.fromkeys(names, 1) | {"title": "x", "year": "x"})

    response = import_file(alice, "\n".join([row] * 20_000))

    assert response.json["counts"]["rejected"] == 20_000
    assert response.json["rows"][0]["reason"].startswith("year: Must be a four-digit year")
    # 150,000 rows, the maximum, then take 37 MB
    assert len(response.data) - len(row) * 1000 < 20_000 * 250


def test_reason_contains_no_control_characters(alice):
    bell = chr(7)
    files = (
        f"Const,Title,Title Type\ntt1,Alien,{bell * 40}game\n",
        json.dumps({"title": 1, bell: 1}),
    )

    for file in files:
        (row,) = import_file(alice, file).json["rows"]
        assert row["action"] in {"skipped", "rejected"}
        assert bell not in row["reason"]


class Clock:
    """A clock that advances with each call."""

    def __init__(self, step):
        self.step, self.time = step, 0

    def __call__(self):
        self.time += self.step
        return self.time


@pytest.mark.parametrize("is_dry", [True, False])
def test_rows_whose_images_take_too_long_are_rejected(alice, monkeypatch, files, is_dry):
    monkeypatch.setattr("movies_api.import_export.row_images.monotonic", Clock(step=6))
    url = data_url(make_image())
    rows = [{"title": f"Film {number}", "imageUrl": url} for number in range(6)]
    rows.insert(5, {"title": "Without an image"})

    response = import_file(alice, json.dumps(rows), f"?dryRun={str(is_dry).lower()}")

    assert response.status_code == 200
    assert [row["action"] for row in response.json["rows"]] == [
        *["added"] * 3,
        *["rejected"] * 2,
        "added",
        "rejected",
    ]
    assert response.json["rows"][3]["reason"] == (
        "imageUrl: Earlier images took over 20 seconds. Send this row in another file."
    )
    assert response.json["rejected"] == [rows[3], rows[4], rows[6]]
    assert len(titles(alice)) == (0 if is_dry else 4)
    monkeypatch.undo()
    again = import_file(alice, json.dumps(response.json["rejected"]))
    assert again.json["counts"] == {"added": 3, "skipped": 0, "rejected": 0}
