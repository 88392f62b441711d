"""POST /movies/import: exports of other services, recognized by their field names."""

import json

import pytest

from ..helpers import titles
from ..import_helpers import import_file

WATCHED = """Date,Name,Year,Letterboxd URI
2023-02-11,Alien,1979,https://boxd.it/2awY
2023-02-11,"Good, the Bad and the Ugly, The",1966,https://boxd.it/2anQ
2023-03-01,Amélie,2001,https://boxd.it/2bg8
2024-10-30,Untitled Project,,https://boxd.it/zzzz
"""
RATINGS = """Date,Name,Year,Letterboxd URI,Rating
2023-02-11,Alien,1979,https://boxd.it/2awY,4.5
2023-03-01,Amélie,2001,https://boxd.it/2bg8,5
"""
DIARY = """Date,Name,Year,Letterboxd URI,Rating,Rewatch,Tags,Watched Date
2023-02-11,Alien,1979,https://boxd.it/3UyQxl,4.5,,"cinema, scary",2023-02-10
2023-03-01,Amélie,2001,https://boxd.it/3VgH3n,5,,,2023-02-28
2024-10-31,Alien,1979,https://boxd.it/7nKkLr,5,Yes,halloween,2024-10-31
"""
IMDB_HEADER = "Const,Your Rating,Date Rated,Title,Original Title,URL,Title Type,IMDb Rating,Runtime (mins),Year,Genres,Num Votes,Release Date,Directors\n"
IMDB_RATINGS = (
    IMDB_HEADER
    + """tt0078748,9,2023-02-11,Alien,Alien,https://www.imdb.com/title/tt0078748,Movie,8.5,117,1979,"Horror, Sci-Fi",1005312,1979-05-25,Ridley Scott
tt0903747,10,2023-02-12,Breaking Bad,Breaking Bad,https://www.imdb.com/title/tt0903747,TV Series,9.5,45,2008,"Crime, Drama",2300000,2008-01-20,
tt0211915,8,2023-03-01,Amélie,Le fabuleux destin d'Amélie Poulain,https://www.imdb.com/title/tt0211915,movie,8.3,122,2001,"Comedy, Romance",803000,2001-04-25,Jean-Pierre Jeunet
tt2301451,10,2023-03-02,Ozymandias,Ozymandias,https://www.imdb.com/title/tt2301451,TV Episode,10,47,2013,Crime,250000,2013-09-15,Rian Johnson
tt0069019,7,2023-03-03,Duel,Duel,https://www.imdb.com/title/tt0069019,tvMovie,7.6,90,1971,Action,80000,1971-11-13,Steven Spielberg
tt1234567,7,2023-03-04,A Short,A Short,https://www.imdb.com/title/tt1234567,Short,7,9,,Short,12,,Somebody
tt7654321,6,2023-03-05,Live!,Live!,https://www.imdb.com/title/tt7654321,TV Special,7,60,1999,Comedy,12,,
tt7654322,6,2023-03-05,Straight to Video,Straight to Video,https://www.imdb.com/title/tt7654322,Video,7,60,1998,Comedy,12,,
tt7654323,6,2023-03-05,A Game,A Game,https://www.imdb.com/title/tt7654323,Video Game,7,,1997,Action,12,,
"""
)
IMDB_LIST = """Position,Const,Created,Modified,Description,Title,Original Title,URL,Title Type,IMDb Rating,Runtime (mins),Year,Genres,Num Votes,Release Date,Directors,Your Rating,Date Rated
1,tt0078748,2023-02-11,2023-02-11,,Alien,Alien,https://www.imdb.com/title/tt0078748/,Movie,8.5,117,1979,"Horror, Sci-Fi",1005312,1979-05-25,Ridley Scott,9,2023-02-11
2,tt0088846,2023-02-12,2023-02-12,"A ""must"" see",Brazil,Brazil,https://www.imdb.com/title/tt0088846/,Movie,7.8,132,1985,Drama,211000,1985-02-20,Terry Gilliam,,
"""
IMDB_OLD_LIST = """\
"position","const","created","modified","description","Title","Title type","Directors","You rated","IMDb Rating","Runtime (mins)","Year","Genres","Num. Votes","Release Date (month/day/year)","URL"
"1","tt0078748","Sat Feb 11 2012","","","Alien","Feature Film","Ridley Scott","9","8.5","117","1979","horror, sci_fi","405312","1979-05-25","http://www.imdb.com/title/tt0078748/"
"""
TRAKT = [
    {
        "id": 8123456789,
        "watched_at": "2024-10-31T20:00:00.000Z",
        "action": "watch",
        "type": "movie",
        "movie": {"title": "Alien", "year": 1979, "ids": {"trakt": 295, "slug": "alien-1979", "imdb": "tt0078748", "tmdb": 348}},
    },
    {
        "id": 8123456790,
        "watched_at": "2024-11-01T20:00:00.000Z",
        "action": "watch",
        "type": "episode",
        "episode": {"season": 5, "number": 14, "title": "Ozymandias", "ids": {"trakt": 62161}},
        "show": {"title": "Breaking Bad", "year": 2008, "ids": {"trakt": 1388}},
    },
    {"rank": 3, "type": "movie", "movie": {"title": "Untitled Project", "year": None, "ids": {"trakt": 999}}},
    {"plays": 2, "last_watched_at": "2024-10-31T20:00:00.000Z", "movie": {"title": "ALIEN", "year": 1979, "ids": {}}},
    {"rank": 5, "type": "person", "person": {"name": "Sigourney Weaver"}},
]  # fmt: skip
DUPLICATE = "Duplicate of an earlier row."


def listed(client):
    """List title and year of the client's movies, newest first."""
    return [(each["title"], each["year"]) for each in client.get("/movies").json["items"]]


def reasons(response):
    """Map each line that was not added to its action and reason."""
    rows = response.json["rows"]
    return {each["line"]: (each["action"], each["reason"]) for each in rows if each["reason"]}


@pytest.mark.parametrize("change", [str, str.upper, lambda text: text.replace("\n", "\r\n"), lambda text: f"\ufeff{text}"])  # fmt: skip
def test_letterboxd_export_is_imported(alice, change):
    header, _, body = WATCHED.partition("\n")
    response = import_file(
        alice, f"{change(header)}\n{body}" if change is str.upper else change(WATCHED)
    )

    assert response.status_code == 200
    assert response.json["format"] == "letterboxd"
    assert response.json["counts"] == {"added": 4, "skipped": 0, "rejected": 0}
    assert listed(alice) == [
        ("Alien", "1979"),
        ("Good, the Bad and the Ugly, The", "1966"),
        ("Amélie", "2001"),
        ("Untitled Project", None),
    ]


def test_letterboxd_ratings_of_existing_movies_are_skipped(alice):
    assert import_file(alice, WATCHED).status_code == 200

    response = import_file(alice, RATINGS)

    assert response.json["format"] == "letterboxd"
    assert response.json["counts"] == {"added": 0, "skipped": 2, "rejected": 0}


def test_movie_watched_twice_is_added_once(alice):
    response = import_file(alice, DIARY)

    assert response.json["format"] == "letterboxd"
    assert reasons(response) == {4: ("skipped", DUPLICATE)}
    assert listed(alice) == [("Alien", "1979"), ("Amélie", "2001")]


def test_movie_watched_twice_is_added_twice_with_on_duplicate_allow(alice):
    assert import_file(alice, DIARY, "?onDuplicate=allow").json["counts"]["added"] == 3
    assert len(titles(alice)) == 3


def test_movie_watched_twice_is_rejected_with_on_duplicate_error(alice):
    response = import_file(alice, DIARY, "?onDuplicate=error")

    assert reasons(response) == {4: ("rejected", DUPLICATE)}
    header, _, _, again = DIARY.splitlines()
    assert response.json["rejected"] == f"{header}\n{again}\n"


def test_imdb_ratings_import_only_movies(alice):
    response = import_file(alice, IMDB_RATINGS)

    assert response.status_code == 200
    assert response.json["format"] == "imdb"
    assert reasons(response) == {
        3: ("skipped", "Not a film: TV Series."),
        5: ("skipped", "Not a film: TV Episode."),
        10: ("skipped", "Not a film: Video Game."),
    }
    assert listed(alice) == [
        ("Alien", "1979"),
        ("Amélie", "2001"),
        ("Duel", "1971"),
        ("A Short", None),
        ("Live!", "1999"),
        ("Straight to Video", "1998"),
    ]
    assert response.json["rejected"] is None


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_imdb_export_is_imported_in_either_encoding(alice, encoding):
    assert import_file(alice, IMDB_RATINGS.encode(encoding)).status_code == 200
    assert "Amélie" in titles(alice)


def test_imdb_list_is_imported(alice):
    response = import_file(alice, IMDB_LIST)

    assert response.json["format"] == "imdb"
    assert listed(alice) == [("Alien", "1979"), ("Brazil", "1985")]


def test_old_imdb_list_is_imported(alice):
    response = import_file(alice, IMDB_OLD_LIST)

    assert response.json["format"] == "imdb"
    assert listed(alice) == [("Alien", "1979")]


@pytest.mark.parametrize("is_array", [True, False])
def test_trakt_export_is_imported(alice, is_array):
    text = json.dumps(TRAKT, indent=2) if is_array else "\n".join(map(json.dumps, TRAKT))
    response = import_file(alice, text)

    assert response.status_code == 200
    assert response.json["format"] == "trakt"
    assert reasons(response) == {
        2: ("skipped", "Not a film: show."),
        4: ("skipped", DUPLICATE),
        5: ("skipped", "Not a film: person."),
    }
    assert listed(alice) == [("Alien", "1979"), ("Untitled Project", None)]


def test_invalid_trakt_items_are_rejected(alice):
    invalid = [{"movie": {"year": 1979}}, {"movie": "Alien"}, 7, {"movie": {"title": "x", "year": "soon"}}, {"list": {}}, {"a": 1}]  # fmt: skip
    response = import_file(alice, json.dumps([TRAKT[0], *invalid]))

    assert reasons(response) == {
        2: ("rejected", "title: Must not be null."),
        3: ("rejected", "The movie must be an object."),
        4: ("rejected", "Must be an object with a movie."),
        5: ("rejected", "year: Must be a four-digit year, e.g. 1999."),
        6: ("skipped", "Not a film: list."),
        7: ("skipped", "Not a film: no movie in it."),
    }
    assert response.json["rejected"] == invalid[:4]


def test_rejected_letterboxd_rows_can_be_corrected_and_imported(alice):
    file = WATCHED.replace("Alien", " ").replace("1966", "66")
    response = import_file(alice, file)

    assert reasons(response) == {
        2: ("rejected", "title: Must not be empty."),
        3: ("rejected", "year: Must be a four-digit year, e.g. 1999."),
    }
    corrected = response.json["rejected"].replace(", ,", ",Alien,").replace(",66,", ",1966,")
    again = import_file(alice, corrected.replace("02-11, ", "02-11,Alien"))
    assert again.json["counts"] == {"added": 2, "skipped": 0, "rejected": 0}
    assert sorted(titles(alice)) == [
        "Alien",
        "Amélie",
        "Good, the Bad and the Ugly, The",
        "Untitled Project",
    ]


def test_leading_apostrophe_in_other_exports_is_kept(alice):
    import_file(alice, WATCHED.replace("Alien", "'=x"))

    assert titles(alice)[0] == "'=x"
