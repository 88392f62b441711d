"""PUT and PATCH /movies/{id}, which behave the same."""

import pytest

from ..helpers import ALIEN


@pytest.fixture
def movie(alice):
    """A movie of Alice's."""
    return alice.post("/movies", json=ALIEN).json


@pytest.fixture(params=["PUT", "PATCH"])
def edit(request):
    """A function that updates a movie with PUT or PATCH."""
    return lambda client, movie, fields, **more: client.open(
        f"/movies/{movie['id']}", method=request.param, json=fields, **more
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "Aliens"},
        {"year": "1986"},
        {"imageUrl": "https://example.com/aliens.jpg"},
        {"title": "Aliens", "year": "1986"},
        {"year": None},
        {"imageUrl": None},
    ],
)
def test_update_changes_only_the_sent_fields(alice, movie, edit, clock, fields):
    clock.advance(seconds=5)

    response = edit(alice, movie, fields)

    assert response.status_code == 200
    assert response.json == {**movie, **fields, "updatedAt": response.json["updatedAt"]}
    assert response.json["updatedAt"] > movie["updatedAt"]
    assert alice.get(f"/movies/{movie['id']}").json == response.json


def test_update_accepts_year_as_number(alice, movie, edit):
    response = edit(alice, movie, {"year": 1986})

    assert response.status_code == 200
    assert response.json["year"] == "1986"


def test_update_accepts_a_returned_movie(alice, movie, edit):
    response = edit(alice, movie, {**movie, "title": "Aliens"})

    assert response.status_code == 200
    assert response.json == {**movie, "title": "Aliens", "updatedAt": response.json["updatedAt"]}


def test_update_ignores_read_only_fields(alice, bob, movie, edit):
    forged = {
        "id": 1,
        "ownerId": bob.user["id"],
        "createdAt": "2001-01-01T00:00:00Z",
        "updatedAt": None,
    }

    response = edit(alice, movie, forged)

    assert response.status_code == 200
    assert response.json == {**movie, "updatedAt": response.json["updatedAt"]}
    assert bob.get("/movies").json["items"] == []


def test_empty_update_succeeds(alice, movie, edit):
    response = edit(alice, movie, {})

    assert response.status_code == 200
    assert response.json == {**movie, "updatedAt": response.json["updatedAt"]}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", None),
        ("title", "x" * 256),
        ("year", "99"),
        ("year", 1.5),
        ("imageUrl", "a.jpg"),
        ("imageUrl", "data:image/png;base64,AA=="),
        ("ratting", 5),
        ("owner_id", "x"),
        ("image_url", "x"),
    ],
)
def test_invalid_field_in_update_returns_400(alice, movie, edit, field, value):
    response = edit(alice, movie, {field: value})

    assert response.status_code == 400
    assert response.json["error"]["code"] == "VALIDATION_ERROR"
    assert list(response.json["error"]["details"]) == [field]
    assert alice.get(f"/movies/{movie['id']}").json == movie


def test_update_of_another_users_movie_returns_403(alice, bob, movie, edit):
    response = edit(bob, movie, {"title": "Mine now"})

    assert response.status_code == 403
    assert response.json["error"]["code"] == "FORBIDDEN"
    assert alice.get(f"/movies/{movie['id']}").json == movie


def test_search_finds_a_movie_by_its_updated_title(alice, movie, edit):
    edit(alice, movie, {"title": "Ærlig talt"})

    assert alice.get("/movies?search=aerlig").json["meta"]["total"] == 1
    assert alice.get("/movies?search=alien").json["meta"]["total"] == 0
