"""GET /admin/stats."""

from datetime import UTC, datetime, timedelta


def promote(app, client):
    """Make the client an admin."""
    words = ["user", "promote", client.user["email"]]
    result = app.test_cli_runner().invoke(args=words)
    assert result.exit_code == 0, result.output
    return client


def today(clock):
    """Return the day of the app's clock, and those before, as the answer writes them."""
    last = (datetime.now(UTC) + clock.ahead).date()
    return [(last - timedelta(days=ago)).isoformat() for ago in reversed(range(30))]


def test_is_for_admins(alice, app, client):
    response = alice.get("/admin/stats")
    assert response.status_code == 403
    assert response.json["error"]["code"] == "FORBIDDEN"
    assert client.get("/admin/stats").json["error"]["code"] == "MISSING_TOKEN"

    assert promote(app, alice).get("/admin/stats").status_code == 200
    assert alice.get("/me").json["role"] == "admin"


def test_counts_what_there_is_and_what_came_on_each_day(alice, app, clock, make_client):
    for title in ("Alien", "Brazil"):
        alice.post("/movies", json={"title": title})
    clock.advance(days=2)
    bob = make_client().sign_up("Bob")
    bob.post("/movies", json={"title": "Cube"})
    alice.post("/auth/refresh")

    stats = promote(app, bob).get("/admin/stats").json

    assert {key: stats[key] for key in ("users", "movies", "activeSessions")} == {
        "users": 2,
        "movies": 3,
        "activeSessions": 2,
    }
    assert [day["date"] for day in stats["days"]] == today(clock)
    assert [(day["signups"], day["creates"]) for day in stats["days"]] == [
        *[(0, 0)] * 27,
        (1, 2),
        (0, 0),
        (1, 1),
    ]


def test_forgets_what_is_older_than_30_days_and_sessions_that_have_run_out(
    alice, app, clock, make_client
):
    alice.post("/movies", json={"title": "Alien"})
    clock.advance(days=30)
    bob = promote(app, make_client().sign_up("Bob"))

    stats = bob.get("/admin/stats").json

    assert (stats["users"], stats["movies"], stats["activeSessions"]) == (2, 1, 1)
    assert sum(day["signups"] for day in stats["days"]) == 1
    assert sum(day["creates"] for day in stats["days"]) == 0


def test_costs_four_statements(alice, app):
    promote(app, alice).get("/admin/stats")

    assert len(alice.statements) == 4
