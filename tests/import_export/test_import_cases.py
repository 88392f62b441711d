"""POST /movies/import: files of real users, each with the expected result."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..import_helpers import form_file, import_file

pytestmark = pytest.mark.only_on("sqlite")  # what is tested does not depend on the database

CASES = Path(__file__).parent / "cases"


def case(name):
    """Return the bytes of a file in `cases`."""
    return (CASES / name).read_bytes()


def listed(client, *fields):
    """List fields of the client's movies, newest first."""
    return [
        tuple(each[name] for name in fields)
        for each in client.get("/movies?limit=100").json["items"]
    ]


def outcome(response):
    """Return the format, the counts and the reasons by line."""
    assert response.status_code == 200, response.text
    report = response.json
    counts = tuple(report["counts"][name] for name in ("added", "skipped", "rejected"))
    return (
        report["format"],
        counts,
        {row["line"]: row["reason"] for row in report["rows"] if row["reason"]},
    )


def test_german_imdb_export_is_imported(alice):
    response = import_file(alice, case("imdb_german.csv"))

    assert outcome(response) == ("imdb", (3, 1, 0), {4: "Not a film: Fernsehserie."})
    assert listed(alice, "title", "year") == [
        ("Der Pate", "1972"),
        ("Alien", "1979"),
        ("Duell", "1971"),
    ]


def test_invalid_byte_rejects_only_its_row(alice):
    response = import_file(alice, case("mixed_encoding.csv"))

    damaged = "A character is damaged. Correct it and send the row again."
    assert outcome(response) == ("csv", (2, 0, 1), {4: damaged})
    assert response.json["encoding"] == "utf-8"
    assert response.json["rejected"] == "title,year\nZoë\ufffd\n"
    assert listed(alice, "title") == [("Amélie",), ("羅生門",)]


def test_letterboxd_list_with_preamble_is_imported(alice):
    response = import_file(alice, case("lb_list_v7.csv"))

    assert outcome(response) == ("letterboxd", (2, 0, 0), {})
    assert response.json["ignoredColumns"] == ["Position"]
    assert [row["line"] for row in response.json["rows"]] == [7, 8]
    assert listed(alice, "title", "year", "watchedOn", "notes") == [
        ("Alien", "1979", None, None),
        ("Heat", "1995", None, 'a "note"'),
    ]


def test_letterboxd_zip_is_imported(alice):
    response = import_file(alice, case("letterboxd-export.zip"))

    assert outcome(response) == ("letterboxd", (1, 0, 0), {})
    assert response.json["rows"] == [
        {"file": "watched.csv", "line": 2, "action": "added", "reason": None}
    ]
    assert [each["file"] for each in response.json["ignoredFiles"]] == ["profile.csv"]
    assert listed(alice, "title", "year", "watchedOn") == [("Alien", "1979", "2023-01-02")]


def test_trakt_movies_with_equal_titles_and_other_ids_are_imported(alice):
    assert outcome(import_file(alice, case("trakt_two_ids.json"))) == ("trakt", (2, 0, 0), {})
    again = import_file(alice, case("trakt_two_ids.json"))

    assert again.json["counts"]["skipped"] == 2
    assert listed(alice, "title", "year") == [("Emma", "1996")] * 2


def test_trakt_backup_is_imported(alice):
    response = import_file(alice, case("trakt_backup_obj.json"))

    assert outcome(response) == ("trakt", (1, 1, 0), {1: "Merged into watched, line 1."})
    assert [row["file"] for row in response.json["rows"]] == ["watched", "ratings"]
    assert listed(alice, "title", "year") == [("Heat", "1995")]


def test_export_saved_by_a_spreadsheet_is_imported(alice):
    response = import_file(alice, case("own_export_through_pandas.csv"))

    empty = "title: Must not be empty."
    assert outcome(response) == ("csv", (6, 0, 3), {7: empty, 8: empty, 9: empty})
    assert response.json["ignoredColumns"] == []
    assert listed(alice, "title", "year") == [
        ("1917", "2019"),
        ("Alien", "1979"),
        ("Untitled", None),
        ("-", None),
        ("@Zola", "2020"),
        ("007", "1962"),
    ]


def test_year_formats_are_recognized(alice):
    response = import_file(alice, case("own_years.csv"))

    wrong = "year: Must be a four-digit year, e.g. 1999."
    assert outcome(response) == ("csv", (9, 0, 9), dict.fromkeys([7, *range(12, 20)], wrong))
    assert listed(alice, "title", "year") == [
        ("A", "1888"),
        ("B", "2026"),
        ("C", "2031"),
        ("D", "1999"),
        ("E", "1999"),
        ("G", "1999"),
        ("H", "1999"),
        ("I", None),
        ("J", "1999"),
    ]


@pytest.mark.parametrize(
    ("name", "source", "movie", "ignored"),
    [
        ("own_sep.csv", "csv", ("1979", None, None), []),
        ("own_extra_col.csv", "csv", ("1979", 9, None), []),
        ("lb_importer_format.csv", "letterboxd", ("1979", 9, "2024-01-01"), ["Rewatch", "Tags"]),
        (
            "tmdb.csv",
            "tmdb",
            ("1979", 9, None),
            ["IMDb ID", "Season Number", "Episode Number", "Rating", "Date Rated"],
        ),
    ],
)
def test_csv_of_other_programs_is_imported(alice, name, source, movie, ignored):
    response = import_file(alice, case(name))

    assert outcome(response) == (source, (1, 0, 0), {})
    assert response.json["ignoredColumns"] == ignored
    assert listed(alice, "title", "year", "rating", "watchedOn") == [("Alien", *movie)]


def test_saved_movie_list_response_is_imported(alice):
    response = import_file(alice, case("own_items_pretty.json"))

    assert outcome(response) == ("json", (2, 0, 0), {})
    assert response.json["ignoredColumns"] == []
    assert listed(alice, "title", "year") == [("Heat", None), ("Alien", "1979")]


def test_watched_csv_is_recognized_by_its_file_name(alice, bob):
    text = b"Date,Name,Year,Letterboxd URI\n2023-01-02,Alien,1979,https://boxd.it/x1\n"
    for client, name, day in ((alice, "watched.csv", "2023-01-02"), (bob, "watchlist.csv", None)):
        response = client.post("/movies/import", **form_file(name, text))

        assert outcome(response) == ("letterboxd", (1, 0, 0), {})
        assert response.json["ignoredColumns"] == ([] if day else ["Date"])
        assert listed(client, "title", "watchedOn") == [("Alien", day)]


@pytest.mark.parametrize("name", ["watched.csv", "my-watched (1).csv", "unwatched.csv"])
def test_the_name_matters_for_watched_csv_alone(alice, name):
    text = b"Date,Name,Year,Letterboxd URI,Rating,Watched Date\n2024-01-05,Alien,1979,u,4.5,2024-01-04\n"

    response = alice.post("/movies/import", **form_file(name, text))

    assert outcome(response) == ("letterboxd", (1, 0, 0), {})
    assert listed(alice, "rating", "watchedOn") == [(9, "2024-01-04")]
