"""POST /movies/import: the formats of other programs, text encodings, ZIPs and merged entries."""
# ruff: noqa: RUF001  letters that look alike are among what people send

from __future__ import annotations

import json
import struct
from io import BytesIO
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZipFile

import pytest

from movies_api.import_export import formats
from movies_api.import_export.formats import Format

from ..helpers import titles
from ..import_helpers import form_file, import_file
from .test_import_cases import listed, outcome

pytestmark = pytest.mark.only_on("sqlite")  # what is tested does not depend on the database

ALIEN = ("Alien", "1979")
FIELDS = ("title", "year", "rating", "watchedOn", "notes")
LETTERBOXD = "Date,Name,Year,Letterboxd URI"
IMDB_2026 = "Const,Your Rating,Date Rated,Title,Original Title,URL,Title Type,IMDb Rating,Runtime (mins),Year,Genres,Num Votes,Release Date,Directors"
IMDB_LIST_2018 = "Position,Const,Created,Modified,Description,Title,URL,Title Type,IMDb Rating,Runtime (mins),Year,Genres,Num Votes,Release Date,Directors,Your Rating,Date Rated"
IMDB_2012 = '"position","const","created","modified","description","Title","Title type","Directors","You rated","IMDb Rating","Runtime (mins)","Year"'
FILM = {"title": "Alien", "year": 1979, "ids": {"trakt": 295, "imdb": "tt0078748"}}


@pytest.mark.parametrize(
    ("file", "source", "rest"),
    [
        # Letterboxd
        (f"{LETTERBOXD},Rating\n2023-02-11,Alien,1979,https://boxd.it/2awY,4.5\n", "letterboxd", (9, None, None)),
        (f"{LETTERBOXD},Rating\n2023-02-11,Alien,1979,https://boxd.it/2awY,0.5\n", "letterboxd", (1, None, None)),
        (f"{LETTERBOXD},Rating\n2023-02-11,Alien,1979,https://boxd.it/2awY,\n", "letterboxd", (None, None, None)),
        (f"{LETTERBOXD},Rating,Rewatch,Tags,Watched Date\n2023-02-11,Alien,1979,https://boxd.it/3Uy,4,Yes,x,2023-02-10\n", "letterboxd", (8, "2023-02-10", None)),
        (f'{LETTERBOXD},Rating,Rewatch,Review,Tags,Watched Date\n2023-02-11,Alien,1979,https://boxd.it/3Uy,4,,"In space,\nno ""one""",x,2023-02-10\n', "letterboxd", (8, "2023-02-10", 'In space,\nno "one"')),
        ("Position,Name,Year,URL,Description\n1,Alien,1979,https://boxd.it/x1,dark\n", "letterboxd", (None, None, "dark")),
        ("Letterboxd list export v2\nDate,Name,Tags,URL,Description\n2015-01-01,Mine,,https://boxd.it/l1,\n\nPosition,Name,Year,URL,Description\n1,Alien,1979,https://boxd.it/x1,\n", "letterboxd", (None, None, None)),
        ('Date;Name;Year;Letterboxd URI;Rating\n11.02.2023;Alien;1979;https://boxd.it/2awY;"4,5"\n', "letterboxd", (9, None, None)),
        # IMDb
        (f"{IMDB_2026}\ntt0078748,9,2023-02-11,Alien,Alien,u,Movie,8.5,117,1979,Horror,1,1979-05-25,R\n", "imdb", (9, None, None)),
        (f"{IMDB_LIST_2018}\n1,tt0078748,2023-02-11,,cat,Alien,u,movie,8.5,117,1979,Horror,1,1979-05-25,R,9,2023-02-11\n", "imdb", (9, None, "cat")),
        (f'{IMDB_2012}\n"1","tt0078748","Sat Feb 11 2012","","","Alien","Feature Film","R","9","8.5","117","1979"\n', "imdb", (9, None, None)),
        # Trakt
        (json.dumps([{"watched_at": "2024-10-31T23:30:00.000-02:00", "type": "movie", "movie": FILM}]), "trakt", (None, "2024-11-01", None)),
        (json.dumps([{"plays": 2, "last_watched_at": "2024-10-31T20:00:00.000Z", "movie": FILM}]), "trakt", (None, "2024-10-31", None)),
        (json.dumps([{"rated_at": "2024-10-31T20:00:00.000Z", "rating": 9, "type": "movie", "movie": FILM}]), "trakt", (9, None, None)),
        (json.dumps([{"rank": 1, "listed_at": "2024-10-31T20:00:00.000Z", "type": "movie", "movie": FILM}]), "trakt", (None, None, None)),
        (json.dumps([{"type": "movie", "movie": FILM, "comment": {"id": 1, "comment": "Hiss."}}]), "trakt", (None, None, "Hiss.")),
        (json.dumps([FILM]), "trakt", (None, None, None)),
        (json.dumps({"movies": [{"movie": FILM}], "shows": [{"show": {"title": "x"}}]}), "trakt", (None, None, None)),
        (json.dumps([{"rank": 1, "notes": "Hiss.", "type": "movie", "movie": FILM}]), "trakt", (None, None, "Hiss.")),
        # Any table, any JSON
        ("Titel;Jahr;Bewertung\nAlien;1979;sehr gut\n", "csv", (None, None, None)),
        ("TITRE\tANNÉE\nAlien\t1979\n", "csv", (None, None, None)),
        ("Título|Año\nAlien|1979\n", "csv", (None, None, None)),
        ("Titolo,Anno\nAlien,(1979)\n", "csv", (None, None, None)),
        ("Primary Title,release_year,watched_date,Review\nAlien,1979.0,2024-01-01,loud\n", "csv", (None, "2024-01-01", "loud")),
        ("sep=^\r\nmovie^release date^rating\r\nAlien^25.05.1979^9.0\r\n", "csv", (9, None, None)),
        ('My films\n\n"Film","Release Date"\n"Alien","1979-05-25"\n', "csv", (None, None, None)),
        ('"My ""best"" films"\n,,\nFilm,Year,\nAlien,1979,\n', "csv", (None, None, None)),
        (",title,year\n0,Alien,1979\n", "csv", (None, None, None)),
        ('[{"Name": "Alien", "Release Year": 1979.0, "rating": "9"}]', "json", (9, None, None)),
        ('{"results": [{"movie": "Alien", "year": "1979-05-25"}]}', "json", (None, None, None)),
        ('{\n "title": "Alien",\n "year": 1979\n}', "json", (None, None, None)),
        ('{"title": "Alien", "year": "(1979)", "genres": [{"id": 1}]}\n', "ndjson", (None, None, None)),
    ],
    ids=lambda value: value[:24].encode("unicode_escape").decode() if isinstance(value, str) else "",
)  # fmt: skip
def test_reads_what_programs_write(alice, file, source, rest):
    response = import_file(alice, file)

    name, counts, _ = outcome(response)
    assert (name, counts[0], counts[2]) == (source, 1, 0)
    assert listed(alice, *FIELDS) == [(*ALIEN, *rest)]


@pytest.mark.parametrize(
    "file",
    ["Alien\nMovie\nHeat\n", "Alien,1979\nName,2014\nHeat,1995\n", "1979,Alien\n2014,Film\n"],
)
def test_a_film_called_movie_is_no_header_row(alice, file):
    response = import_file(alice, file)

    assert response.status_code == 400
    assert "Add a header row, e.g. title,year." in response.json["error"]["message"]


@pytest.mark.parametrize(
    ("file", "ignored"),
    [
        ("title,Director,year,,Mood\nAlien,R,1979,x,dark\n", ["Director", "column 4", "Mood"]),
        ('[{"title": "Alien", "Mood": 1}, {"title": "Heat", "mood": 2, "x": {}}]', ["Mood", "mood", "x"]),
        ('{"items": [{"title": "Alien"}], "tags": [1, 2]}', ["tags"]),
        ("id,title,ownerId,createdAt,updatedAt\n1,Alien,x,y,z\n", []),
    ],
)  # fmt: skip
def test_names_all_that_is_not_imported(alice, file, ignored):
    assert import_file(alice, file).json["ignoredColumns"] == ignored


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        *((kind, None) for kind in ("Téléfilm", "Cortometraggio", "Película", "Curta-metragem", "फ़िल्म", "TV Special", "")),
        *((kind, "skipped") for kind in ("Série TV", "Videogioco", "Episodio de TV", "Minissérie", "Podcast Series")),
        *((kind, "rejected") for kind in ("Hologram", "Hörspiel", "Musical")),
    ],
)  # fmt: skip
def test_title_types_are_films_or_not_or_rejected_by_name(alice, kind, action):
    (row,) = import_file(alice, f"Const,Title,Title Type\ntt1,Alien,{kind}\n").json["rows"]

    assert row["action"] == action or "added"
    assert row["reason"] == {
        None: None,
        "skipped": f"Not a film: {kind}.",
        "rejected": f"Unknown title type: {kind}. Use Movie for a film.",
    }[action]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("title\nAmélie – L’été\n".encode(), "utf-8"),
        ("title\nAmélie – L’été\n".encode("utf-8-sig"), "utf-8"),
        ("title\nAmélie – L’été\n".encode("cp1252"), "windows-1252"),
        ("title\r\nAmélie – L’été\r\n".encode("utf-16"), "utf-16"),
        (b"\xfe\xff" + "title\tyear\r\nAmélie – L’été\t2001\r\n".encode("utf-16-be"), "utf-16"),
        ('[{"title": "Amélie – L’été"}]'.encode("utf-8-sig"), "utf-8"),
    ],
)
def test_names_the_encoding(alice, data, encoding):
    response = import_file(alice, data)

    assert response.json["encoding"] == encoding
    assert titles(alice) == ["Amélie – L’été"]


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"title\nAm\xe9lie\n\x81\nAlien\n", "windows-1252"),
        (b"\xef\xbb\xbftitle\nAlien\n\xff\n", "utf-8"),
        (b"title\nAlien\nHe\0at\n", "utf-8"),
        ("title\nAlien\nx".encode("utf-16") + b"\x00\xd8", "utf-16"),
        (b"\xff\xfe" + "title\nAlien\nx".encode("utf-16-le") + b"y", "utf-16"),
    ],
)
def test_a_damaged_byte_damages_its_own_row(alice, data, encoding):
    response = import_file(alice, data)

    assert response.json["encoding"] == encoding
    assert response.json["counts"]["rejected"] == 1
    assert "Alien" in titles(alice)
    assert "\ufffd" in response.json["rejected"]


@pytest.mark.parametrize(
    ("stars", "rating", "reason"),
    [
        ("8.5", 9, "rating: 8.5 was rounded."),
        ("0.5", 1, "rating: 0.5 was rounded."),
        ("10", 10, None),
        ("11", None, "rating: Must be an integer between 1 and 10."),
        ("inf", None, "rating: Must be an integer between 1 and 10."),
        ("*****", None, "rating: Must be an integer between 1 and 10."),
    ],
)
def test_ratings_of_others_are_rounded_to_half_stars(alice, stars, rating, reason):
    (row,) = import_file(
        alice, f"TMDb ID,Name,Release Date,Your Rating\n348,Alien,1979,{stars}\n"
    ).json["rows"]

    assert row["reason"] == reason
    assert [movie["rating"] for movie in alice.get("/movies").json["items"]] == [rating][
        : rating or 0
    ]


def test_a_new_format_takes_a_few_lines(alice, monkeypatch):
    plain = Format(
        "csv",
        "Film Name,Stars,Seen",
        {"title": "Film Name", "rating": "Stars", "watchedOn": "Seen", "notes": "Opinion"},
        scale=2,
        id="Film No",
        at="Seen",
    )
    monkeypatch.setattr(formats, "FORMATS", (plain, *formats.FORMATS))

    response = import_file(
        alice, "Film No,Film Name,Year,Stars,Seen,Opinion\n7,Alien,1979,4.5,2024-10-31,Hiss.\n"
    )

    assert response.json["counts"]["added"] == 1
    assert listed(alice, *FIELDS) == [(*ALIEN, 9, "2024-10-31", "Hiss.")]


# --- duplicates


@pytest.mark.parametrize(
    ("file", "added"),
    [
        ("Const,Title,Title Type,Year\ntt1,Emma,Movie,1996\ntt2,Emma,TV Movie,1996\ntt1,Emma,Movie,1996\n", 2),
        (f"{LETTERBOXD}\n,Emma,1996,https://boxd.it/a\n,Emma,1996,https://boxd.it/b\n", 2),
        (f"{LETTERBOXD},Rating,Rewatch,Tags,Watched Date\n,Emma,1996,https://boxd.it/a,,,,\n,Emma,1996,https://boxd.it/b,,,,\n", 1),
        ("Position,Name,Year,URL\n1,Emma,1996,https://boxd.it/a\n2,Emma,1996,https://boxd.it/b\n", 2),
        ('[{"id": 1, "title": "Emma"}, {"id": 2, "title": "EMMA"}, {"id": [], "title": "Emma"}]', 2),
        ('[{"title": "Emma"}, {"id": 1, "title": "Emma"}, {"id": 2, "title": "Emma"}]', 2),
        (json.dumps([{"movie": {"title": "Emma", "ids": {"trakt": None, "tmdb": tmdb}}} for tmdb in (1, 2, 1)]), 2),
        ("title\nEmma\nÉMMA\n", 1),
    ],
)  # fmt: skip
def test_rows_with_different_source_ids_are_different_movies(alice, file, added):
    assert import_file(alice, file).json["counts"]["added"] == added
    assert import_file(alice, file).json["counts"]["added"] == 0


def test_update_fills_what_is_empty_and_changes_nothing_else(alice):
    movie = {"title": "Alien", "year": "1979", "rating": 8}
    before = alice.post("/movies", json=movie).json
    full = alice.post(
        "/movies", json={"title": "Heat", "rating": 1, "watchedOn": "2020-01-01", "notes": "x"}
    ).json
    file = "title,year,rating,watchedOn,notes,imageUrl\nALIEN,1979,2,2024-10-31,Hiss.,https://example.com/a.jpg\nheat,,3,2024-01-01,y,\nNew,,,,,\n"
    assert import_file(alice, file).json["counts"]["skipped"] == 2
    dry = import_file(alice, file, "?onDuplicate=update&dryRun=true").json

    response = import_file(alice, file, "?onDuplicate=update")

    assert response.json["counts"] == {"added": 0, "skipped": 2, "rejected": 0, "updated": 1}
    assert dry == {**response.json, "dryRun": True}
    assert response.json["rows"][0]["reason"] == "Filled watchedOn, notes."
    after = alice.get(f"/movies/{before['id']}").json
    assert after == {
        **before,
        "watchedOn": "2024-10-31",
        "notes": "Hiss.",
        "updatedAt": after["updatedAt"],
    }
    assert after["updatedAt"] > before["updatedAt"]
    assert alice.get(f"/movies/{full['id']}").json == full
    assert import_file(alice, file, "?onDuplicate=update").json["counts"]["updated"] == 0


def test_entries_of_one_film_are_merged(alice):
    head = f"{LETTERBOXD},Rating,Rewatch,Review,Tags,Watched Date"
    entries = [
        "2024-01-05,Alien,1979,https://boxd.it/a,4,,,,2024-01-04",
        "2023-01-05,Alien,1979,https://boxd.it/b,5,,old,,2024-02-02",
        "2024-03-05,Alien,1979,https://boxd.it/c,,,new,,",
    ]
    response = import_file(alice, "\n".join([head, *entries]))

    assert outcome(response)[1] == (1, 2, 0)
    assert listed(alice, *FIELDS) == [(*ALIEN, 8, "2024-02-02", "new")]


# --- ZIP


def zip_of(compression=ZIP_DEFLATED, **members):
    out = BytesIO()
    with ZipFile(out, "w", compression) as archive:
        for name, text in members.items():
            archive.writestr(
                name.replace("__", "/").replace("_csv", ".csv").replace("_json", ".json"), text
            )
    return out.getvalue()


def test_a_letterboxd_zip_is_one_import(alice):
    head = f"{LETTERBOXD},Rating,Rewatch"
    data = zip_of(
        profile_csv="Date Joined,Username\n2020-01-01,x\n",
        ratings_csv=f"{LETTERBOXD},Rating\n2024-05-05,Alien,1979,https://boxd.it/x1,4.5\n,Heat,soon,https://boxd.it/x2,3\n",
        diary_csv=f"{head},Tags,Watched Date\n2024-01-02,Alien,1979,https://boxd.it/e1,2,,,2024-01-01\n",
        reviews_csv=f"{head},Review,Tags,Watched Date\n2024-01-02,Alien,1979,https://boxd.it/e1,2,,Hiss.,,2024-01-01\n",
        watched_csv=f"{LETTERBOXD}\n2023-01-02,Alien,1979,https://boxd.it/x1\n",
        watchlist_csv=f"{LETTERBOXD}\n2023-05-05,Brazil,1985,https://boxd.it/x3\n",
        likes__films_csv=f"{LETTERBOXD}\n2023-05-05,Alien,1979,https://boxd.it/x1\n",
        likes__reviews_csv=f"{LETTERBOXD}\n2023-05-05,Cats,2019,https://boxd.it/x9\n",
        deleted__diary_csv=f"{head},Tags,Watched Date\n2024-01-02,Cats,2019,https://boxd.it/e1,2,,,2024-01-01\n",
        lists__best_csv="Letterboxd list export v7\nDate,Name,Tags,URL,Description\n,Best,,,\n\nPosition,Name,Year,URL,Description\n1,Alien,1979,https://boxd.it/x1,first\n",
    )
    response = import_file(alice, data, "?onDuplicate=error")

    report = response.json
    assert outcome(response)[:2] == ("letterboxd", (2, 5, 1))
    assert [(row["file"], row["line"], row["action"]) for row in report["rows"]] == [
        ("watched.csv", 2, "added"),
        ("watchlist.csv", 2, "added"),
        ("diary.csv", 2, "skipped"),
        ("reviews.csv", 2, "skipped"),
        ("ratings.csv", 2, "skipped"),
        ("ratings.csv", 3, "rejected"),
        ("likes/films.csv", 2, "skipped"),
        ("lists/best.csv", 6, "skipped"),
    ]
    assert report["rows"][2]["reason"] == "Merged into watched.csv, line 2."
    assert report["rejected"] == {
        "ratings.csv": f"{LETTERBOXD},Rating\n,Heat,soon,https://boxd.it/x2,3\n"
    }
    assert {each["file"] for each in report["ignoredFiles"]} == {
        "profile.csv",
        "likes/reviews.csv",
        "deleted/diary.csv",
    }
    assert listed(alice, *FIELDS) == [
        (*ALIEN, 9, "2024-01-01", "Hiss."),
        ("Brazil", "1985", None, None, None),
    ]


def test_a_trakt_zip_is_one_import(alice):
    data = zip_of(
        x__ratings_movies_json=json.dumps(
            [{"rated_at": "2024-01-01T00:00:00.000Z", "rating": 7, "movie": FILM}]
        ),
        x__watched_movies_json=json.dumps(
            [{"last_watched_at": "2024-02-01T00:00:00.000Z", "movie": FILM}]
        ),
        x__watched_shows_json=json.dumps(
            [{"plays": 1, "show": {"title": "Lost"}, "seasons": [{"number": 1}]}]
        ),
        x__lists_json=json.dumps([{"name": "Best", "ids": {"trakt": 1}}]),
        x__profile_json=json.dumps({"username": "x"}),
    )
    response = import_file(alice, data)

    assert outcome(response)[:2] == ("trakt", (1, 2, 0))
    assert listed(alice, *FIELDS) == [(*ALIEN, 7, "2024-02-01", None)]
    assert {each["file"] for each in response.json["ignoredFiles"]} == {
        "x/lists.json",
        "x/profile.json",
    }


def test_an_unreadable_file_does_not_spoil_the_others(alice):
    data = zip_of(
        watched_csv=f"{LETTERBOXD}\n,Alien,1979,u\n",
        ratings_csv=f'{LETTERBOXD},Rating\n,"Heat,1995,v,5\n',
    )

    response = import_file(alice, data)

    assert response.json["counts"]["added"] == 1
    (ignored,) = response.json["ignoredFiles"]
    assert ignored["file"] == "ratings.csv"
    assert "Check for an unclosed quote" in ignored["reason"]


def declared(data, **sizes):
    """Return the ZIP with other sizes in its directory."""
    place = data.rindex(b"PK\1\2")
    header = bytearray(data)
    for name, value in sizes.items():
        struct.pack_into("<L", header, place + {"packed": 20, "unpacked": 24}[name], value)
    return bytes(header)


WATCHED = zip_of(watched_csv=f"{LETTERBOXD}\n,Alien,1979,u\n")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (zip_of(watched_csv="\n" * (1 << 23)), "too large when unpacked"),
        (zip_of(**{f"f{number}_txt": "" for number in range(1001)}), "more than 1000 files"),
        (zip_of(**{"inner.zip": WATCHED, "watched_csv": f"{LETTERBOXD}\n"}), "contains another ZIP"),
        (zip_of(**{"xl/workbook.xml": ""}), "The file is a spreadsheet. Save it as CSV"),
        (zip_of(ZIP_BZIP2, watched_csv=f"{LETTERBOXD}\n"), "unsupported compression method"),
        (declared(WATCHED, unpacked=1 << 31), "too large when unpacked"),
        (declared(WATCHED, unpacked=1 << 31, packed=1 << 30), "too large when unpacked"),
        (declared(WATCHED, unpacked=20), "The ZIP is damaged"),
        (WATCHED[:-30], "The ZIP is damaged"),
        (WATCHED[:60] + b"x" + WATCHED[61:], "The ZIP is damaged"),
        (b"PK\3\4" + b"\xff" * 100, "The ZIP is damaged"),
        (zip_of(), "no file that the service recognizes"),
        (zip_of(photo="x", movies_csv="title\nAlien\n"), "no file that the service recognizes"),
        (b"PK\5\6" + struct.pack("<4xHHLL2x", 9, 60_000, 1 << 30, 0), "more than 1000 files"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)  # fmt: skip
def test_rejects_a_zip_before_it_is_unpacked(alice, data, says):
    response = import_file(alice, data)

    assert response.status_code == 400
    (message,) = response.json["error"]["details"]["file"]
    assert says in message
    assert titles(alice) == []


def test_paths_in_a_zip_are_never_used(alice, tmp_path):
    name = f"../../../{tmp_path}/watched.csv"
    out = BytesIO()
    with ZipFile(out, "w") as archive:
        archive.writestr(name, f"{LETTERBOXD}\n,Alien,1979,u\n")

    response = alice.post("/movies/import", **form_file("x.zip", out.getvalue()))

    assert response.json["counts"]["added"] == 1
    assert list(tmp_path.iterdir()) == []
