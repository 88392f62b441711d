"""Statistics for admins, in autocommit; each statement reads only an index or a few rows."""

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import Column, Executable, bindparam, func, select

from ..db import autocommit_all, now
from ..models import movies, sessions, users

DAYS = 30
TOTALS = select(
    select(func.count()).select_from(users).scalar_subquery().label("users"),
    select(func.coalesce(func.sum(users.c.movie_count), 0)).scalar_subquery().label("movies"),
    select(func.count())
    .select_from(sessions)
    .where(sessions.c.expires_at > bindparam("now"))
    .scalar_subquery()
    .label("activeSessions"),
)


def count_per_day(column: Column[Any]) -> Executable:
    """Return a statement that counts rows per day in one pass, independent of the time zone."""
    marks = [bindparam(f"day_{number}", type_=column.type) for number in range(DAYS + 1)]
    counts = [
        func.count().filter(column >= start, column < end).label(f"count_{number}")
        for number, (start, end) in enumerate(pairwise(marks))
    ]
    return select(*counts).where(column >= marks[0], column < marks[-1])


SIGNUPS, CREATES = count_per_day(users.c.created_at), count_per_day(movies.c.created_at)


def fetch_stats() -> dict[str, Any]:
    """Return totals, and signups and created movies for each of the last 30 days in UTC."""
    at = now()
    first = datetime.combine(at.date() - timedelta(days=DAYS - 1), time(), UTC)
    days = [first + timedelta(days=number) for number in range(DAYS + 1)]
    marks = {f"day_{number}": day for number, day in enumerate(days)}
    (totals,) = autocommit_all(TOTALS, {"now": at})
    (signups,), (creates,) = autocommit_all(SIGNUPS, marks), autocommit_all(CREATES, marks)
    counts = zip(days, signups.values(), creates.values(), strict=False)
    return {
        **{name: int(count) for name, count in totals.items()},
        "days": [
            {"date": day.date(), "signups": new_users, "creates": new_movies}
            for day, new_users, new_movies in counts
        ],
    }
