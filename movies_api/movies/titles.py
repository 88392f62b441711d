"""Titles folded for searching and for ordering, so that every database agrees."""

import re
import unicodedata

from ..models import KEY_LENGTH

OPENING = re.compile(r"^\W+(?=\w)")
# As it is written: "À bout de souffle" begins with no article
ARTICLE = re.compile(r"^(?:the|an|a)\s+(?=\S)", re.IGNORECASE)
# They make another letter of a kana, as no accent does
KANA_MARKS = "\u3099\u309a"
# What Unicode does not decompose, and what keyboards write in several ways
LETTERS = str.maketrans(
    {
        "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i",
        "‘": "'", "’": "'", "“": '"', "”": '"', "‐": "-", "‑": "-", "–": "-", "—": "-",
    }
)  # fmt: skip


def fold(text: str) -> str:
    """Return the text without case and accents, its white space single."""
    if text.isascii():
        return " ".join(text.lower().split())
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(
        letter for letter in decomposed if not unicodedata.combining(letter) or letter in KANA_MARKS
    )
    folded = unicodedata.normalize("NFKC", letters).casefold().translate(LETTERS)
    return " ".join(folded.split())


def order_key(text: str) -> str:
    """Return what a person would look the title up by: no article, no opening punctuation."""
    words = ARTICLE.sub("", OPENING.sub("", unicodedata.normalize("NFC", text)))
    # An index holds keys of a bounded size; a longer title differs before its end
    return OPENING.sub("", fold(words))[:KEY_LENGTH]
