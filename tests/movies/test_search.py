"""GET /movies?search=: words of the title, ignoring case and accents."""
# ruff: noqa: RUF001  the test data contains look-alike characters

from urllib.parse import quote

import pytest

from movies_api.movies import pagination

from .test_list_movies import add, titles

TITLES = [
    "Amélie",
    "Le fabuleux destin d'Amélie Poulain",
    "ALIEN",
    "Alien vs. Predator",
    "100% Wolf",
    "1000 Wolves",
    "snake_case",
    "snakeXcase",
    "back\\slash",
    "Straße",
    "Æon Flux",
    "Ødipus",
    "İstanbul",
    "ΣΊΣΥΦΟΣ",
    "千と千尋の神隠し",
    "The Matrix",
    "Rock ’n’ Roll",
    "O'Brother",
    "3:10 to Yuma",
    "ｆｕｌｌ ｗｉｄｔｈ",
    "WALL·E",
    "Face/Off",
]


@pytest.fixture(
    autouse=True, params=[pagination.SMALL_COLLECTION, -1], ids=["few movies", "many movies"]
)
def _search_strategy(request, monkeypatch):
    """Both search strategies: reading a small collection, and the search index."""
    monkeypatch.setattr(pagination, "SMALL_COLLECTION", request.param)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("amelie", ["Amélie", "Le fabuleux destin d'Amélie Poulain"]),
        ("AMÉLIE", ["Amélie", "Le fabuleux destin d'Amélie Poulain"]),
        ("Amélie", ["Amélie", "Le fabuleux destin d'Amélie Poulain"]),
        ("poulain amelie", ["Le fabuleux destin d'Amélie Poulain"]),
        ("  amelie\u3000poulain ", ["Le fabuleux destin d'Amélie Poulain"]),
        ("amelie alien", []),
        ("alien", ["ALIEN", "Alien vs. Predator"]),
        ("alien alien", ["ALIEN", "Alien vs. Predator"]),
        ("%", ["100% Wolf"]),
        ("0%", ["100% Wolf"]),
        ("_", ["snake_case"]),
        ("snake_case", ["snake_case"]),
        ("\\", ["back\\slash"]),
        ("k\\s", ["back\\slash"]),
        ("strasse", ["Straße"]),
        ("STRASSE", ["Straße"]),
        ("aeon", ["Æon Flux"]),
        ("æon", ["Æon Flux"]),
        ("odipus", ["Ødipus"]),
        ("istanbul", ["İstanbul"]),
        ("σισυφοσ", ["ΣΊΣΥΦΟΣ"]),
        ("σίσυφος", ["ΣΊΣΥΦΟΣ"]),
        ("千尋", ["千と千尋の神隠し"]),
        ("matrix", ["The Matrix"]),
        ("the matrix", ["The Matrix"]),
        ("rock 'n' roll", ["Rock ’n’ Roll"]),
        ("o’brother", ["O'Brother"]),
        ("3:10", ["3:10 to Yuma"]),
        ("full width", ["ｆｕｌｌ ｗｉｄｔｈ"]),
        ("face/off", ["Face/Off"]),
        ("nothing like it", []),
        ("'; DROP TABLE movies; --", []),
    ],
)
def test_search_finds_titles_by_words(alice, search, found):
    add(alice, *TITLES)

    assert_finds(alice, search, found)


PUNCTUATED = [
    "WALL·E",
    "Wall E, Again",
    "Don’t Look Up",
    "Donnie to Rest",
    "Spider-Man: No Way Home",
    "Spider Man 2",
    "Tom & Jerry",
    "Romeo and Juliet",
    "8½",
    "Rock 'n' Roll",
    "...And Justice for All",
    "What?!",
    "!!!",
    "♥",
    "(500) Days of Summer",
    "M*A*S*H",
    "Dr. Strangelove",
    "C#",
]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        *((each, ["WALL·E", "Wall E, Again"]) for each in ("wall-e", "wall e", "WALL·E", "w.a.l.l.e")),
        ("walle", ["WALL·E"]),
        *((each, ["Don’t Look Up"]) for each in ("dont", "don't", "Don’t", "don´t", "donʼt", "DON'T!")),
        *((each, ["Spider-Man: No Way Home", "Spider Man 2"]) for each in ("spider-man", "man spider")),
        ("spiderman", ["Spider-Man: No Way Home"]),
        *((each, ["Tom & Jerry"]) for each in ("tom and jerry", "tom & jerry", "Tom&Jerry", "tom ＆ jerry")),
        ("romeo & juliet", ["Romeo and Juliet"]),
        *((each, ["Tom & Jerry", "Romeo and Juliet", "...And Justice for All"]) for each in ("&", "and")),
        *((each, ["8½"]) for each in ("8½", "8 1/2", "8 ½", "½ 8")),
        *((each, ["Rock 'n' Roll"]) for each in ("rock'n'roll", "rock n roll", "rock-n-roll", "«rock»")),
        *((each, ["M*A*S*H"]) for each in ("mash", "M*A*S*H", "m.a.s.h.")),
        ("dr strangelove", ["Dr. Strangelove"]),
        ("500 days", ["(500) Days of Summer"]),
        ("days (of) - summer", ["(500) Days of Summer"]),
        ("?!", ["What?!"]),
        ("!", ["What?!", "!!!"]),
        ("...", ["...And Justice for All"]),
        ("♥", ["♥"]),
        ("! ?", ["What?!"]),
        ("c++ #", ["Rock 'n' Roll", "...And Justice for All", "C#"]),
        ("a\u00adgain", ["Wall E, Again"]),
        ("ehome", []),
    ],
)  # fmt: skip
def test_punctuation_does_not_matter_on_either_side(alice, search, found):
    add(alice, *PUNCTUATED)

    assert_finds(alice, search, found)


def test_four_digits_also_match_the_year(alice):
    add(
        alice, ("Alien", "1979"), ("1979", "2021"), ("Brazil", "1985"), "Blade Runner 2049", "Alien"
    )

    assert_finds(alice, "1979", ["Alien", "1979"])
    assert_finds(alice, "alien 1979", ["Alien"])
    assert_finds(alice, "1979!", ["Alien", "1979"])
    assert_finds(alice, "2049", ["Blade Runner 2049"])
    assert_finds(alice, "979", ["1979"])
    assert_finds(alice, "19790", [])


def assert_finds(person, search, found):
    """Check that a search finds these titles and counts them."""
    response = person.get("/movies", query_string={"search": search, "limit": 100})

    assert response.status_code == 200
    assert sorted(movie["title"] for movie in response.json["items"]) == sorted(found)
    assert response.json["meta"]["total"] == len(found)


def test_relevance_puts_the_exact_title_first_and_titles_that_begin_so_next(alice):
    found = ["Matrix", "The Mátrix", "A Matrix Begins", "Matrix: Reloaded", "The Matrix 2", "In the Matrix", "Dematrixed"]  # fmt: skip
    by_age = ["Dematrixed", "The Matrix 2", "Matrix", "Matrix: Reloaded", "The Mátrix", "A Matrix Begins", "In the Matrix"]  # fmt: skip
    add(alice, *by_age)

    shown = titles(alice, "?search=matrix")
    assert shown[0] == "Matrix"
    assert shown[1:5] == ["A Matrix Begins", "The Mátrix", "Matrix: Reloaded", "The Matrix 2"]
    assert shown[5:] == ["In the Matrix", "Dematrixed"]
    assert set(shown) == set(found)
    assert titles(alice, "?search=matrix&sort=relevance") == shown
    assert titles(alice, "?search=the+matrix")[:2] == ["The Mátrix", "The Matrix 2"]
    assert titles(alice, "?search=matrix&sort=-createdAt") == by_age[::-1]


@pytest.mark.parametrize(
    ("search", "first"),
    [("wall e", "WALL·E"), ("8 1/2", "8½"), ("!!!", "!!!"), ("tom and jerry", "Tom & Jerry"), ("100%", "100%")],
)  # fmt: skip
def test_an_exact_title_is_first_however_it_is_typed(alice, search, first):
    add(alice, first, f"{first} again", f"Once more {first}", f"{first}, again and again")

    assert titles(alice, f"?search={quote(search)}")[0] == first


@pytest.mark.parametrize("query", ["sort=relevance", "sort=relevance&search=", "search=a&sort=-relevance", "search=a&sort=relevance,title", "search=a&sort=title,relevance"])  # fmt: skip
def test_relevance_stands_alone_and_needs_a_search(alice, query):
    response = alice.get(f"/movies?{query}")

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["sort"]


@pytest.mark.parametrize("search", ["", "   "])
def test_empty_search_returns_all_movies(alice, search):
    add(alice, "Alien", "Brazil")

    assert titles(alice, f"?search={search}&sort=title") == ["Alien", "Brazil"]


def test_search_supports_pages_and_sort(alice):
    add(alice, "Alien 3", "Brazil", "Alien", "Aliens")

    response = alice.get("/movies?search=alien&sort=title&limit=2")

    assert response.status_code == 200
    assert [movie["title"] for movie in response.json["items"]] == ["Alien", "Alien 3"]
    assert response.json["meta"]["totalPages"] == 2


def test_search_finds_the_end_of_the_longest_title(alice):
    title = " ".join(["ﷺ" * 20] * 12)
    add(alice, title)

    assert titles(alice, "?search=ﷺ") == [title]


def test_search_accepts_16_words(alice):
    words = [chr(ord("a") + number) for number in range(16)]
    alice.post("/movies", json={"title": " ".join(words)})

    # A word that is repeated, or folds to the same, counts once
    response = alice.get("/movies", query_string={"search": " ".join([*words, "A", "á", *words])})

    assert response.status_code == 200
    assert response.json["meta"]["total"] == 1


@pytest.mark.parametrize("search", ["a b c d e f g h i j k l m n o p q", "½ " + " ".join("abcdefghijklmno") + " ﷺ"])  # fmt: skip
def test_search_for_more_than_16_words_returns_400(alice, search):
    response = alice.get("/movies", query_string={"search": search})

    assert response.status_code == 400
    assert response.json["error"]["details"] == {"search": ["Must have at most 16 words."]}
