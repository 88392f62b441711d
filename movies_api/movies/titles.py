"""Titles: search and sort keys that are the same on every database."""

import re
import unicodedata
from typing import NamedTuple

from ..models import KEY_LENGTH

OPENING = re.compile(r"^[^\w%]+(?=[\w%])")
# Matched before folding: "À bout de souffle" does not start with an article
ARTICLE = re.compile(r"^(?:the|an|a)\s+(?=\S)", re.IGNORECASE)
# Unlike accents, these marks turn a kana into a different letter
KANA_MARKS = "\u3099\u309a"
# Accents and letters that people type as apostrophes. A space keeps 8½ from becoming 81/2
BEFORE = str.maketrans({"´": "'", "ʼ": "'", **{each: f" {each}" for each in "¼½¾⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"}})
# Letters that Unicode does not decompose, and variants of quotes and hyphens
LETTERS = str.maketrans(
    {
        "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i",
        "‘": "'", "’": "'", "“": '"', "”": '"', "‐": "-", "‑": "-", "–": "-", "—": "-",
    }
)  # fmt: skip


class SearchWord(NamedTuple):
    """A word of a search, and what it is compared with.

    `is_joined`: it had punctuation inside, and is found across the spaces of a title. `is_written`:
    it consists only of punctuation, and is compared with the title itself.
    """

    text: str
    is_joined: bool = False
    is_written: bool = False

    @property
    def is_year(self) -> bool:
        """Return whether it also matches a year."""
        return re.fullmatch("[0-9]{4}", self.text) is not None


def fold(text: str) -> str:
    """Return the text in lower case, without accents and with single spaces."""
    if text.isascii():
        return " ".join(text.lower().split())
    decomposed = unicodedata.normalize("NFKD", text.translate(BEFORE).casefold())
    letters = "".join(
        letter for letter in decomposed if not unicodedata.combining(letter) or letter in KANA_MARKS
    )
    folded = unicodedata.normalize("NFKC", letters).casefold().translate(LETTERS)
    return " ".join(folded.split())


def fold_words(text: str) -> list[str]:
    """Return the folded words of a text, without punctuation; & becomes and."""
    return _without_punctuation(fold(text).replace("&", " and ")).split()


def search_key(title: str) -> str:
    """Return two lines: the folded words of a title, a leading article last; all without spaces."""
    article, rest = split_article(title)
    # A title of only punctuation or accents stays unchanged
    words = fold_words(rest) or fold(rest).split() or [rest]
    return f"{' '.join([*words, *article])}\n{''.join([*article, *words])}"


def search_words(search: str) -> list[SearchWord]:
    """Return the distinct words that a title must contain."""
    words = {}
    for text in fold(search).replace("&", " and ").split():
        bare = _without_punctuation(text)
        is_joined = bare not in text
        if bare:
            words[bare] = SearchWord(bare, is_joined)
    return list(words.values()) or [
        SearchWord(text, is_written=True) for text in dict.fromkeys(search.split())
    ]


def order_key(text: str) -> str:
    """Return the sort key of a title: no leading article or punctuation, numbers by value."""
    _, rest = split_article(text)
    # Index keys have a maximum size; long titles rarely differ only beyond it
    return re.sub("[0-9]+", _number_key, OPENING.sub("", fold(rest)))[:KEY_LENGTH]


def split_article(title: str) -> tuple[list[str], str]:
    """Return the leading article in lower case, in a list that may be empty, and the rest."""
    text = OPENING.sub("", unicodedata.normalize("NFC", title))
    article = ARTICLE.match(text)
    return ([article[0].strip().lower()], text[article.end() :]) if article else ([], title)


def _number_key(found: re.Match[str]) -> str:
    """Return digits prefixed with their count (1-8, or 9 and three digits), to sort by value."""
    digits = found[0].lstrip("0") or "0"
    return f"{len(digits)}{digits}" if len(digits) < 9 else f"9{len(digits):03}{digits}"


def _without_punctuation(folded: str) -> str:
    """Return the text without punctuation, symbols and invisible characters, except % and _."""
    if folded.isascii():
        return re.sub(r"[^\w\s%]", "", folded)
    return "".join(
        letter
        for letter in folded
        if letter in "%_ " or letter.isalnum() or unicodedata.category(letter)[0] not in "PSC"
    )
