"""GET /movies?sort=: the same natural order on every database."""

from itertools import pairwise

import pytest

from .test_list_movies import add, titles

TITLES = [
    "12 Angry Men",
    "2001: A Space Odyssey",
    "Alien",
    "Aliens",
    "Amélie",
    "An American Werewolf in London",
    "Apollo 13",
    "L'Avventura",
    "The Matrix",
    "Ødipus",
    "the Omen",
    "Ôtez-moi d'un doute",
    "A Quiet Place",
    "Zorro",
    "千と千尋の神隠し",
]


def test_titles_sort_without_articles_case_and_accents(alice):
    add(alice, *TITLES[::2], *TITLES[1::2])

    assert titles(alice, "?sort=title") == TITLES
    assert titles(alice, "?sort=-title") == TITLES[::-1]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("alien", "BRAZIL"),
        ("Élan", "Eleven"),
        ("The Abyss", "Babe"),
        ("An Affair", "Babe"),
        ("A Bug", "Bugsy"),
        ("Babe", "The Cabin"),
        ("Athena", "The Atlas"),
        ("Anna", "Ant"),
        ("Theatre", "Thelma"),
        ("“Alpha”", "Beta"),
        ("Alien", "Alien 3"),
        ("Alien 3", "Aliens"),
        ("Straße", "Strasse 2"),
        ("À bout de souffle", "Breathless"),
        ("A\u0300 bout de souffle", "Breathless"),
        ("Alien", "The 'Burbs"),
        ("The …And Justice for All", "Babe"),
        ("“The Alpha”", "Beta"),
        ("ﾊﾊ", "パパ"),
        ("ハハ", "ババ"),
        ("\uffee", "\U0001f600"),
        ("Alien 9", "Alien 10"),
        ("9", "10"),
        ("Alien 2", "Alien 0010"),
        ("Se7en", "Se10en"),
        ("99999999", "100000000"),
        ("8½", "9"),
        ("8", "8½"),
        ("9 to 5", "12 Angry Men"),
        ("2001: A Space Odyssey", "Alien"),
        ("Alien \uff19", "Alien 10"),
    ],
)
def test_first_title_sorts_before_second_title(alice, first, second):
    add(alice, second, first)

    assert titles(alice, "?sort=title") == [first, second]


def test_equal_numbers_are_ordered_by_id(alice):
    add(alice, "Bond 007", "Bond 7", "Bond 07", "9" * 255, "8" * 255)

    shown = ["Bond 007", "Bond 7", "Bond 07"]
    assert titles(alice, "?sort=title") == ["8" * 255, "9" * 255, *shown]
    assert titles(alice, "?sort=-title&search=bond") == shown[::-1]


@pytest.mark.parametrize("title", ["The", "A", "An", "the the", "!", "...", "The !"])
def test_titles_of_only_an_article_or_punctuation_can_be_sorted(alice, title):
    add(alice, title)

    assert titles(alice, "?sort=title") == [title]


def test_sort_by_year_keeps_unknown_years_together(alice):
    add(alice, ("Brazil", "1985"), "Unknown", ("Alien", "1979"), ("Contact", "1997"), "Unheard")

    by_year = titles(alice, "?sort=year")
    assert [title for title in by_year if title[:2] != "Un"] == ["Alien", "Brazil", "Contact"]
    assert {*by_year[:2]} == {"Unknown", "Unheard"}
    assert titles(alice, "?sort=-year") == by_year[::-1]


def test_sort_by_several_keys(alice):
    add(
        alice,
        ("Brazil", "1985"),
        ("Alien", "1979"),
        ("Back to the Future", "1985"),
        ("Zorro", "1979"),
    )

    assert titles(alice, "?sort=year,title") == ["Alien", "Zorro", "Back to the Future", "Brazil"]
    assert titles(alice, "?sort=-year,title") == ["Back to the Future", "Brazil", "Alien", "Zorro"]
    assert titles(alice, "?sort=-year,-title") == ["Brazil", "Back to the Future", "Zorro", "Alien"]


def test_sort_by_created_and_updated_time(alice, clock):
    first, second, third = add(alice, "First", "Second", "Third")
    for movie in (second, first, third):
        clock.advance(seconds=1)
        alice.patch(f"/movies/{movie['id']}", json={"year": "1999"})

    assert titles(alice, "?sort=createdAt") == ["First", "Second", "Third"]
    assert titles(alice, "?sort=-createdAt") == ["Third", "Second", "First"]
    assert titles(alice, "?sort=updatedAt") == ["Second", "First", "Third"]
    assert titles(alice, "?sort=-updatedAt") == ["Third", "First", "Second"]


@pytest.mark.parametrize(
    ("name", "low", "high"), [("rating", 1, 10), ("watchedOn", "0001-01-02", "2024-05-31")]
)
def test_sort_by_rating_and_date_puts_unknown_values_last(alice, name, low, high):
    for title, value in (("Low", low), ("Unknown", None), ("High", high), ("None", None)):
        alice.post("/movies", json={"title": title, name: value})

    assert titles(alice, f"?sort={name}") == ["Low", "High", "Unknown", "None"]
    assert titles(alice, f"?sort=-{name}") == ["High", "Low", "None", "Unknown"]
    assert titles(alice, f"?sort=-{name},title") == ["High", "Low", "None", "Unknown"]


def test_sort_keys_can_be_combined(alice):
    keys = ["title", "-year", "createdAt", "-updatedAt", "rating", "-watchedOn"]
    add(alice, *((f"Movie {number % 2}", str(1990 + number % 3)) for number in range(6)))

    for chosen in [*pairwise([*keys, keys[0]]), keys, keys[::-1]]:
        assert len(titles(alice, f"?sort={','.join(chosen)}")) == 6


@pytest.mark.only_on("postgresql")
def test_sort_order_does_not_depend_on_the_database_locale(database):
    [(collation,)] = database.execute(
        "SELECT collname FROM pg_attribute JOIN pg_collation c ON attcollation = c.oid "
        "WHERE attrelid = 'movies'::regclass AND attname = 'title_key'"
    )

    assert collation == "C"
