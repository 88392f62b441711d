"""POST /movies/import: what holds for any collection, and for any bytes."""

from __future__ import annotations

import json
from datetime import date
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ..helpers import FORMATS
from ..import_helpers import TRICKY, import_file
from .test_import import without_ids_and_times

CASES = sorted((Path(__file__).parent / "cases").iterdir())
QUICK = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LINES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn", "Co", "Cf"]), max_size=40)
TITLES = (
    st.one_of(st.sampled_from(TRICKY), LINES)
    .map(str.strip)
    .filter(lambda title: any(map(str.isalnum, title)))
)
NOTES = st.lists(st.one_of(LINES, st.sampled_from(TRICKY)), max_size=4).map("\n".join)
MOVIES = st.fixed_dictionaries(
    {"title": TITLES},
    optional={
        "year": st.integers(0, 9999).map("{:04}".format),
        "rating": st.integers(1, 10),
        "watchedOn": st.dates(date(1, 1, 2), date(2026, 1, 1)).map(str),
        "notes": NOTES,
        "imageUrl": st.sampled_from(["https://example.com/=,;'\".jpg", "http://x.test/?a=1"]),
    },
)


@pytest.mark.slow
@QUICK
@given(st.lists(MOVIES, min_size=1, max_size=8), st.sampled_from(FORMATS))
def test_an_export_imported_elsewhere_is_the_same_export(make_client, movies, file_format):
    number = next(NUMBERS)
    alice, bob = (make_client().sign_up(f"{name}{number}") for name in ("Alice", "Bob"))
    report = import_file(alice, json.dumps(movies), "?onDuplicate=allow")
    assert report.json["counts"]["added"] == len(movies), report.json["rows"]
    first = alice.get(f"/movies/export?format={file_format}")

    response = import_file(bob, first.data)

    assert response.status_code == 200
    assert response.json["counts"]["added"] == len(movies), response.json["rows"]
    second = bob.get(f"/movies/export?format={file_format}")
    left, right = (without_ids_and_times(each, file_format) for each in (first, second))
    assert left == right
    again = import_file(bob, second.data)
    assert again.json["counts"] == {"added": 0, "skipped": len(movies), "rejected": 0}


NUMBERS = iter(range(10_000))


@st.composite
def files(draw):
    """Bytes that nobody wrote, or what somebody brought with some of it damaged."""
    data = bytearray(
        draw(st.one_of(st.binary(max_size=200), st.sampled_from(CASES).map(Path.read_bytes)))
    )
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(data)))
        data[place : place + draw(st.integers(0, 3))] = draw(
            st.one_of(
                st.binary(max_size=3),
                st.sampled_from(
                    [*map(bytes, b'[{}",:;\n\0'), b"title", b'{"title": [{}]}', b"\xff\xfe"]
                ),
            )
        )
    return bytes(data)


@pytest.mark.slow
@settings(QUICK, max_examples=300)
@given(files(), st.booleans(), st.sampled_from(["skip", "allow", "error", "update"]))
def test_any_bytes_are_read_or_rejected(alice, data, is_zipped, on_duplicate):
    if is_zipped:
        out = BytesIO()
        with ZipFile(out, "w", ZIP_DEFLATED) as archive:
            archive.writestr("watched.csv", data)
        data = out.getvalue()

    response = import_file(alice, data, f"?onDuplicate={on_duplicate}")

    assert response.status_code in {200, 400, 413}, response.text
