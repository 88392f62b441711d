"""Titles: search and sort keys that are the same on every database."""

import re
import unicodedata

from ..models import KEY_LENGTH

OPENING = re.compile(r"^\W+(?=\w)")
# Matched before folding: "À bout de souffle" does not start with an article
ARTICLE = re.compile(r"^(?:the|an|a)\s+(?=\S)", re.IGNORECASE)
# Unlike accents, these marks turn a kana into a different letter
KANA_MARKS = "\u3099\u309a"
# Letters that Unicode does not decompose, and variants of quotes and hyphens
LETTERS = str.maketrans(
    {
        "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i",
        "‘": "'", "’": "'", "“": '"', "”": '"', "‐": "-", "‑": "-", "–": "-", "—": "-",
    }
)  # fmt: skip


def fold(text: str) -> str:
    """Return the text in lower case, without accents and with single spaces."""
    if text.isascii():
        return " ".join(text.lower().split())
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(
        letter for letter in decomposed if not unicodedata.combining(letter) or letter in KANA_MARKS
    )
    folded = unicodedata.normalize("NFKC", letters).casefold().translate(LETTERS)
    return " ".join(folded.split())


def order_key(text: str) -> str:
    """Return the sort key of a title: no leading article, no leading punctuation."""
    words = ARTICLE.sub("", OPENING.sub("", unicodedata.normalize("NFC", text)))
    # Index keys have a maximum size; long titles rarely differ only beyond it
    return OPENING.sub("", fold(words))[:KEY_LENGTH]
