"""Page and cursor walks agree for every sort and filter, while movies come and go."""

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from movies_api.movies import pagination
from movies_api.movies.titles import order_key

KEYS = ["title", "year", "createdAt", "updatedAt", "rating", "watchedOn"]
MOVIES = st.fixed_dictionaries(
    {
        "title": st.sampled_from(["Alien", "alien", "The Alien", "Alien 3", "Alien 10", "Brazil"]),
        "year": st.sampled_from([None, "1979", "1986"]),
        "rating": st.sampled_from([None, 1, 5, 10]),
        "watchedOn": st.sampled_from([None, "2001-01-01", "2024-05-31"]),
    }
)
SORTS = st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True).flatmap(
    lambda keys: st.tuples(*(st.sampled_from([key, f"-{key}"]) for key in keys))
)
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "search": st.sampled_from(["alien", "a", "1979", "the alien"]),
        "yearFrom": st.just("1979"),
        "yearTo": st.just("1985"),
        "ratingFrom": st.sampled_from([1, 5]),
        "ratingTo": st.sampled_from([5, 10]),
        "watched": st.sampled_from(["true", "false"]),
    },
)
# After each page of a walk: another movie, one less, or nothing
CHANGES = st.lists(st.one_of(MOVIES, st.integers(0, 9), st.none()), max_size=6)


def is_match(movie, query):
    """Tell whether a movie is part of the list."""
    title, year, rating = movie["title"].lower(), movie["year"], movie["rating"]
    return (
        all(word in title or word == year for word in query.get("search", "").split())
        and ("yearFrom" not in query or (year or "") >= query["yearFrom"])
        and ("yearTo" not in query or (year is not None and year <= query["yearTo"]))
        and ("ratingFrom" not in query or (rating or 0) >= query["ratingFrom"])
        and ("ratingTo" not in query or (rating or 11) <= query["ratingTo"])
        and ("watched" not in query or (query["watched"] == "true") == bool(movie["watchedOn"]))
    )


def relevance(movie, search):
    """Rank a title: it is the search, it begins so, or neither."""
    title = movie["title"].lower()
    begins = title.removeprefix("the ").startswith(search.removeprefix("the "))
    return 2 if title == search else int(begins)


def in_order(movies, query):
    """Return what the list shows, in its order, the slow way."""
    names = query.get("sort", "-relevance" if "search" in query else "-createdAt").split(",")
    names = ["-relevance", "-createdAt"] if names == ["-relevance"] else names
    found = [movie for movie in movies if is_match(movie, query)]
    found.sort(key=lambda movie: movie["id"], reverse=names[-1].startswith("-"))
    for name in reversed(names):
        descends, name = name.startswith("-"), name.removeprefix("-")  # noqa: PLW2901
        value = {
            "title": lambda movie: order_key(movie["title"]),
            "year": lambda movie: movie["year"] or "",
            "rating": lambda movie: movie["rating"] or (0 if descends else 11),  # noqa: B023
            "watchedOn": lambda movie: movie["watchedOn"] or ("" if descends else "9"),  # noqa: B023
            "relevance": lambda movie: relevance(movie, query["search"]),
        }.get(name, lambda movie: movie[name])  # noqa: B023
        found.sort(key=value, reverse=descends)
    return found


def get_page(person, query, **position):
    """Return a page of the list."""
    response = person.get("/movies", query_string={**query, **position})
    assert response.status_code == 200, response.text
    return response.json


@pytest.mark.parametrize("small", [pagination.SMALL_COLLECTION, -1])
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    movies=st.lists(MOVIES, max_size=9),
    filters=FILTERS,
    sort=st.none() | SORTS,
    limit=st.integers(1, 4),
    changes=CHANGES,
)
def test_walks_agree_with_a_model(alice, database, small, movies, filters, sort, limit, changes):
    database.execute("DELETE FROM movies")
    made = [alice.post("/movies", json=movie).json for movie in movies]
    query = {**filters, **({"sort": ",".join(sort)} if sort else {})}
    wanted = in_order(made, query)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pagination, "SMALL_COLLECTION", small)

        pages = [get_page(alice, query, limit=limit, page=1)]
        pages += [
            get_page(alice, query, limit=limit, page=page + 1)
            for page in range(1, pages[0]["meta"]["totalPages"])
        ]

        assert pages[0]["meta"]["total"] == len(wanted)
        assert [movie for page in pages for movie in page["items"]] == wanted

        shown, gone, cursor = [], set(), {}
        todo = iter(changes)
        while cursor is not None:
            page = get_page(alice, query, limit=limit, **cursor)
            shown += page["items"]
            following = page["meta"]["nextCursor"]
            cursor = following and {"cursor": following}
            change = next(todo, None)
            if isinstance(change, dict):
                alice.post("/movies", json=change)
            elif change is not None:
                with suppress(IndexError):
                    alice.delete(f"/movies/{made[change]['id']}")
                    gone.add(made[change]["id"])

    ids = [movie["id"] for movie in shown]
    assert len(ids) == len(set(ids))
    lasting = {movie["id"] for movie in made} - gone
    assert [movie for movie in shown if movie["id"] in lasting] == [
        movie for movie in wanted if movie["id"] in lasting
    ]
