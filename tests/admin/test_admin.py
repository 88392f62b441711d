"""GET /admin/stats."""

from datetime import UTC, datetime, timedelta


def promote(app, client):
    """Make the client an admin."""
    words = ["user", "promote", client.user["email"]]
    result = app.test_cli_runner().invoke(args=words)
    assert result.exit_code == 0, result.output
    return client


def last_30_days(clock):
    """Return the last 30 days of the app's clock in ISO format."""
    last = (datetime.now(UTC) + clock.ahead).date()
    return [(last - timedelta(days=ago)).isoformat() for ago in reversed(range(30))]


def test_admin_stats_requires_admin_role(alice, app, client):
    response = alice.get("/admin/stats")
    assert response.status_code == 403
    assert response.json["error"]["code"] == "FORBIDDEN"
    assert client.get("/admin/stats").json["error"]["code"] == "MISSING_TOKEN"

    assert promote(app, alice).get("/admin/stats").status_code == 200
    assert alice.get("/me").json["role"] == "admin"


def test_admin_stats_counts_totals_and_daily_creates(alice, app, clock, make_client):
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
    assert [day["date"] for day in stats["days"]] == last_30_days(clock)
    assert [(day["signups"], day["creates"]) for day in stats["days"]] == [
        *[(0, 0)] * 27,
        (1, 2),
        (0, 0),
        (1, 1),
    ]


def test_admin_stats_excludes_old_days_and_expired_sessions(alice, app, clock, make_client):
    alice.post("/movies", json={"title": "Alien"})
    clock.advance(days=30)
    bob = promote(app, make_client().sign_up("Bob"))

    stats = bob.get("/admin/stats").json

    assert (stats["users"], stats["movies"], stats["activeSessions"]) == (2, 1, 1)
    assert sum(day["signups"] for day in stats["days"]) == 1
    assert sum(day["creates"] for day in stats["days"]) == 0


def test_admin_stats_takes_four_statements(alice, app):
    promote(app, alice).get("/admin/stats")

    assert len(alice.statements) == 4
