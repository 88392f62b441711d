"""Pagination: one SQL statement per query shape, built once."""

import re
from collections.abc import Sequence
from functools import lru_cache
from operator import gt, lt
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Integer,
    Row,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
)

from ..db import autocommit_all, autocommit_one
from ..db.prepared import Prepared
from ..models import movies
from .queries import LISTED
from .titles import SearchWord, fold_words, search_key, search_words, split_article

Sort = tuple[tuple[str, bool], ...]


def _nulls_last(name: str, highest: str, lowest: str) -> tuple[ColumnElement[Any], ...]:
    """Return the ascending and the descending key, written as in the indexes: no parameters."""
    limits = (literal_column(each, type_=movies.c[name].type) for each in (highest, lowest))
    return tuple(func.coalesce(movies.c[name], each) for each in limits)


# Ascending and descending
SORT_COLUMNS: dict[str, tuple[ColumnElement[Any], ...]] = {
    "title": (movies.c.title_key, movies.c.title_key),
    "year": (movies.c.year, movies.c.year),
    "createdAt": (movies.c.created_at, movies.c.created_at),
    "updatedAt": (movies.c.updated_at, movies.c.updated_at),
    "rating": _nulls_last("rating", "11", "0"),
    "watchedOn": _nulls_last("watched_on", "'9999-12-31'", "'0001-01-01'"),
}
RELEVANCE: Sort = (("relevance", True), ("createdAt", True))
START_LENGTH = 40
_START = func.substr(movies.c.search_key, literal_column("1"), literal_column(f"{START_LENGTH}"))
SORT_LABELS = tuple(f"key_{number}" for number in range(len(SORT_COLUMNS)))
DEEP_OFFSET = 1000
# Up to this size a scan is faster than the trigram index, which covers the titles of all users
SMALL_COLLECTION = 1000
MAX_WORDS = 16  # each is compared with every title that contains the others
FILTERS = ("search", "year", "year_from", "year_to", "rating_from", "rating_to", "watched")
OLDEST, NEWEST = "0000", "9999"


class Shape(NamedTuple):
    """Everything that distinguishes one statement from another, without the values.

    `words` are the kinds of the words of a search.
    """

    sort: Sort
    words: tuple[SearchWord, ...]
    has_years: bool
    has_ratings: bool
    watched: bool | None
    is_after: bool
    is_small: bool
    is_deep: bool = False


def fetch_page(
    owner: Row[Any], query: dict[str, Any], after: Sequence[Any] | None
) -> tuple[list[dict[str, Any]], list[Any] | None]:
    """Return a page of wire rows, and the position of its last row if more rows follow.

    The owner has id and movie_count. A position, such as `after`, consists of a row's values of
    the sort columns and its id.
    """
    shape, values = _shape_and_params(owner, query, after)
    if query["sort"] == RELEVANCE:
        values |= _relevance_params(query["search"])
    values["limit"] = query["limit"] + 1
    values["offset"] = 0 if after is not None else (query["page"] - 1) * query["limit"]
    if query["sort"] == RELEVANCE:
        values["most"] = values["limit"] + values["offset"]
    rows = autocommit_all(
        _page_statement(shape._replace(is_deep=values["offset"] > DEEP_OFFSET)), values
    )
    has_more = len(rows) > query["limit"]
    rows = rows[: query["limit"]]
    for row in rows:
        row["ownerId"] = owner.id
        position = [row.pop(key) for key in SORT_LABELS[: len(shape.sort)]]
    return rows, [*position, rows[-1]["id"]] if has_more else None


def count_matches(owner: Row[Any], query: dict[str, Any]) -> int:
    """Return how many of the owner's movies match the search and the filters."""
    shape, values = _shape_and_params(owner, query, None)
    row = autocommit_one(_count_statement(shape), values)
    return 0 if row is None else row[0]


def is_filtered(query: dict[str, Any]) -> bool:
    """Return whether the query selects less than the whole collection."""
    return any(query[name] is not None for name in FILTERS)


def _shape_and_params(
    owner: Row[Any], query: dict[str, Any], after: Sequence[Any] | None
) -> tuple[Shape, dict[str, Any]]:
    words = search_words(query["search"]) if query["search"] else []
    has_years = any(query[name] for name in ("year", "year_from", "year_to"))
    has_ratings, watched = bool(query["rating_from"] or query["rating_to"]), query["watched"]
    values: dict[str, Any] = {"owner": owner.id}
    for number, word in enumerate(words):
        pattern = f"%{_escape(word.text)}%"
        if word.is_joined:
            pattern = f"%\n{pattern}"
        elif not word.is_written:
            pattern += "\n%"
        values[f"word_{number}"] = pattern
        if word.is_year:
            values[f"year_{number}"] = word.text
    if has_years:
        values["oldest"] = max(filter(None, (query["year"], query["year_from"], OLDEST)))
        values["newest"] = min(filter(None, (query["year"], query["year_to"], NEWEST)))
    if has_ratings:
        values["lowest"], values["highest"] = query["rating_from"] or 1, query["rating_to"] or 10
    for number, value in enumerate(after or ()):
        values[f"after_{number}"] = value
    is_small = is_filtered(query) and owner.movie_count <= SMALL_COLLECTION
    shape = Shape(
        query["sort"],
        tuple(word._replace(text="0000" if word.is_year else "") for word in words),
        has_years,
        has_ratings,
        watched,
        after is not None,
        is_small,
    )
    return shape, values


@lru_cache(maxsize=512)
def _page_statement(shape: Shape) -> Select[Any] | Prepared:
    statement = _build_page_statement(shape)
    # For filters and deep pages the best plan depends on the values
    is_filtered = shape.words or shape.has_years or shape.has_ratings or shape.watched is not None
    is_one_plan = shape.is_small or not (is_filtered or shape.is_deep)
    return Prepared(statement) if is_one_plan else statement


def _build_page_statement(shape: Shape) -> Select[Any]:
    if shape.sort == RELEVANCE:
        return _build_relevance_statement(shape)
    # Ending in id, in the direction of the last key, makes the order total: no duplicates or gaps
    keys = [SORT_COLUMNS[name][descends] for name, descends in shape.sort] + [movies.c.id]
    descending = [descends for _, descends in shape.sort]
    descending.append(descending[-1])
    extra = [key.label(label) for key, label in zip(keys[:-1], SORT_LABELS, strict=False)]
    order = [
        key.desc() if descends else key.asc()
        for key, descends in zip(keys, descending, strict=True)
    ]
    conditions = _conditions(shape)
    if shape.is_after:
        conditions.append(_after_position(keys, descending))

    def paginate(statement: Select[Any]) -> Select[Any]:
        return (
            statement.where(*conditions)
            .order_by(*order)
            .limit(bindparam("limit"))
            .offset(bindparam("offset"))
        )

    if not shape.is_deep:
        return paginate(select(*LISTED, *extra))
    # Skip the rows of the offset in an index-only scan
    ids = paginate(select(movies.c.id)).subquery()
    return select(*LISTED, *extra).join(ids, ids.c.id == movies.c.id).order_by(*order)


@lru_cache(maxsize=64)
def _count_statement(shape: Shape) -> Select[Any] | Prepared:
    statement = select(func.count()).select_from(movies).where(*_conditions(shape))
    return Prepared(statement) if shape.is_small else statement


def _conditions(shape: Shape) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [movies.c.owner_id == bindparam("owner")]
    if shape.has_years:
        conditions.append(movies.c.year.between(bindparam("oldest"), bindparam("newest")))
    if shape.has_ratings:
        rating = SORT_COLUMNS["rating"][True]  # indexed
        conditions.append(rating.between(bindparam("lowest"), bindparam("highest")))
    if shape.watched is not None:
        unknown = movies.c.watched_on.is_(None)
        conditions.append(~unknown if shape.watched else unknown)
    # The concat keeps the planner from using the index
    key = movies.c.search_key.concat("") if shape.is_small else movies.c.search_key
    for number, word in enumerate(shape.words):
        text = movies.c.title if word.is_written else key
        condition = text.like(bindparam(f"word_{number}"), escape="\\")
        if word.is_year:
            condition |= movies.c.year == bindparam(f"year_{number}")
        conditions.append(condition)
    return conditions


def _build_relevance_statement(shape: Shape) -> Select[Any]:
    """Return the statement: titles that equal or start with the search first, then the others.

    Each part reads an index and stops at the end of the page: sorting all matches of a common word
    takes far longer.
    """
    conditions, newest = _conditions(shape), (movies.c.created_at, movies.c.id)
    starts = [_START.like(bindparam(name), escape="\\") for name in ("start", "joined_start")]
    is_exact = movies.c.search_key.in_([bindparam("exact"), bindparam("joined")])
    score = case((is_exact, literal_column("2")), else_=literal_column("1"))
    best, rest = [*conditions, or_(*starts)], [*conditions, ~or_(*starts)]
    if shape.is_after:
        best.append(_after_position([score, *newest], [True] * 3))
        after = tuple_(
            *(bindparam(f"after_{n + 1}", type_=key.type) for n, key in enumerate(newest))
        )
        rest.append(or_(bindparam("after_0", type_=Integer) > 0, tuple_(*newest) < after))
    parts = [
        select(movies.c.id, value.label("key_0"), movies.c.created_at.label("key_1"))
        .where(*where)
        .order_by(*(key.desc() for key in keys))
        .limit(bindparam("most"))
        .subquery()
        for value, where, keys in (
            (score, best, (score, *newest)),
            (literal_column("0"), rest, newest),
        )
    ]
    found = union_all(*(select(part) for part in parts)).subquery()
    order = [found.c[name].desc() for name in ("key_0", "key_1", "id")]
    page = select(found).order_by(*order).limit(bindparam("limit")).offset(bindparam("offset"))
    ids = page.subquery()
    return (
        select(*LISTED, ids.c.key_0, ids.c.key_1)
        .join(ids, ids.c.id == movies.c.id)
        .order_by(*(ids.c[name].desc() for name in ("key_0", "key_1", "id")))
    )


def _relevance_params(search: str) -> dict[str, str]:
    exact = search_key(search)
    squeezed = exact.rpartition("\n")[2]
    start = " ".join(fold_words(split_article(search)[1])) or squeezed
    return {
        "exact": exact,
        "joined": f"{squeezed}\n{squeezed}",
        "start": f"{_escape(start[:START_LENGTH])}%",
        "joined_start": f"{_escape(start.replace(' ', '')[:START_LENGTH])}%",
    }


def _escape(text: str) -> str:
    """Escape the text for a LIKE pattern."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def _after_position(
    keys: Sequence[ColumnElement[Any]], descending: Sequence[bool]
) -> ColumnElement[bool]:
    """Return the condition for the rows after a position, in a form that can use an index."""
    marks = [bindparam(f"after_{number}", type_=key.type) for number, key in enumerate(keys)]
    if len(set(descending)) == 1:
        compare = lt if descending[0] else gt
        return compare(tuple_(*keys), tuple_(*marks))  # type: ignore[no-any-return]
    steps = []
    for number, descends in enumerate(descending):
        same = [key == mark for key, mark in zip(keys[:number], marks, strict=False)]
        steps.append(and_(*same, (lt if descends else gt)(keys[number], marks[number])))
    return or_(*steps)
