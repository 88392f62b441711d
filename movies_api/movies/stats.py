"""Statistics of a collection: statements in autocommit that read its rows by an index."""

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, extract, func, select

from ..db import autocommit_all, now
from ..db.prepared import Prepared
from ..models import movies
from .pagination import SORT_COLUMNS

MONTHS = 12
_decade = func.substr(movies.c.year, 1, 3)  # '' if the year is unknown
BY_DECADE = Prepared(
    select(
        _decade.label("decade"),
        func.count().label("total"),
        func.count(movies.c.rating).label("rated"),
        func.sum(movies.c.rating).label("points"),
        func.count(movies.c.watched_on).label("watched"),
    )
    .where(movies.c.owner_id == bindparam("owner"))
    .group_by(_decade)
    .order_by(_decade)
)
_watched_on = SORT_COLUMNS["watchedOn"][True]  # indexed
_year, _month = extract("year", movies.c.watched_on), extract("month", movies.c.watched_on)
BY_MONTH = (
    select(_year.label("year"), _month.label("month"), func.count().label("count"))
    .where(movies.c.owner_id == bindparam("owner"), _watched_on >= bindparam("since"))
    .group_by(_year, _month)
)


def summarize_movies(owner: UUID) -> dict[str, Any]:
    """Return the statistics of the owner's collection in wire format."""
    today = now().date()
    last = today.year * 12 + today.month - 1
    months = [divmod(last - ago, 12) for ago in reversed(range(MONTHS))]
    since = date(months[0][0], months[0][1] + 1, 1)
    groups = autocommit_all(BY_DECADE, {"owner": owner})
    counts = {
        (int(row["year"]), int(row["month"]) - 1): row["count"]
        for row in autocommit_all(BY_MONTH, {"owner": owner, "since": since})
    }
    rated, points = (sum(row[name] or 0 for row in groups) for name in ("rated", "points"))
    return {
        "total": sum(row["total"] for row in groups),
        "rated": rated,
        "averageRating": round(points / rated, 1) if rated else None,
        "watched": sum(row["watched"] for row in groups),
        "byDecade": [
            {"decade": f"{row['decade']}0", "count": row["total"]}
            for row in groups
            if row["decade"]
        ],
        "watchedByMonth": [
            {"month": f"{year:04}-{month + 1:02}", "count": counts.get((year, month), 0)}
            for year, month in months
        ],
    }
