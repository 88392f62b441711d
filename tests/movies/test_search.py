"""GET /movies?search=: words of the title, case and accents folded."""
# ruff: noqa: RUF001  look-alikes are among what people type

import pytest

from movies_api.movies import pagination

from .test_list_movies import add, titles

SHELF = [
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
def _either_way(request, monkeypatch):
    """Collections are searched in two ways: by reading them, and by an index of words."""
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
def test_finds_titles_by_their_words(alice, search, found):
    add(alice, *SHELF)

    response = alice.get("/movies", query_string={"search": search, "limit": 100})

    assert response.status_code == 200
    assert {movie["title"] for movie in response.json["items"]} == set(found)
    assert response.json["meta"]["total"] == len(found)


@pytest.mark.parametrize("search", ["", "   "])
def test_an_empty_search_is_none(alice, search):
    add(alice, "Alien", "Brazil")

    assert titles(alice, f"?search={search}&sort=title") == ["Alien", "Brazil"]


def test_a_search_has_pages_and_an_order(alice):
    add(alice, "Alien 3", "Brazil", "Alien", "Aliens")

    response = alice.get("/movies?search=alien&sort=title&limit=2")

    assert response.status_code == 200
    assert [movie["title"] for movie in response.json["items"]] == ["Alien", "Alien 3"]
    assert response.json["meta"]["totalPages"] == 2


def test_the_longest_title_is_found_by_its_end(alice):
    title = " ".join(["ﷺ" * 20] * 12)
    add(alice, title)

    assert titles(alice, "?search=ﷺ") == [title]


def test_a_search_takes_16_words(alice):
    words = [chr(ord("a") + number) for number in range(16)]
    alice.post("/movies", json={"title": " ".join(words)})

    # A word that is repeated, or folds to the same, counts once
    response = alice.get("/movies", query_string={"search": " ".join([*words, "A", "á", *words])})

    assert response.status_code == 200
    assert response.json["meta"]["total"] == 1


@pytest.mark.parametrize("search", ["a b c d e f g h i j k l m n o p q", "½ " + " ".join("abcdefghijklmno") + " ﷺ"])  # fmt: skip
def test_a_search_of_more_words_is_rejected(alice, search):
    response = alice.get("/movies", query_string={"search": search})

    assert response.status_code == 400
    assert response.json["error"]["details"] == {"search": ["Must have at most 16 words."]}
