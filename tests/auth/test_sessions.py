"""GET /auth/sessions, DELETE /auth/sessions/{id}, logout scopes, and session expiry."""

from datetime import datetime, timedelta
from uuid import uuid4

import pytest

BROWSERS = {
    "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0": "Firefox on Linux",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36": "Chrome on Windows",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1": "Mobile Safari on iOS",
    "curl/8.5.0": "curl",
    "backup-script 1.0": "backup-script",
    "": "unknown",
    " ": "unknown",
    "/": "unknown",
    "x" * 5000: "x" * 100,
    "a\x00b\x85c": "abc",
    "<b>bold</b>": "<b>bold<",
}


def sessions(client):
    """Return the client's sessions."""
    response = client.get("/auth/sessions")
    assert response.status_code == 200
    return response.json["items"]


def own_session_id(client):
    """Return the id of the client's own session."""
    [session] = [each for each in sessions(client) if each["current"]]
    return session["id"]


def time_of(text):
    """Parse a time of a response."""
    return datetime.fromisoformat(text)


@pytest.fixture
def phone(alice, make_client):
    """Alice, logged in on a second device."""
    return make_client().log_in("alice@example.com", remember=True)


def test_sessions_lists_own_logins_and_api_tokens(alice, phone, bob):
    token = alice.post("/auth/tokens", json={"name": "Backup"}).json

    items = sessions(alice)

    assert [set(item) for item in items] == [
        {"id", "kind", "name", "scope", "createdAt", "lastUsedAt", "expiresAt", "current"}
    ] * 3
    assert sorted(item["kind"] for item in items) == ["login", "login", "token"]
    assert [item["id"] for item in items if item["kind"] == "token"] == [token["id"]]
    assert [item["current"] for item in items].count(True) == 1
    assert own_session_id(alice) != own_session_id(phone)
    assert {item["id"] for item in sessions(phone)} == {item["id"] for item in items}
    assert len(sessions(bob)) == 1
    days = sorted((time_of(i["expiresAt"]) - time_of(i["createdAt"])).days for i in items)
    assert days == [7, 30, 90]


@pytest.mark.parametrize("header", BROWSERS)
def test_session_is_named_after_user_agent(alice, client, header):
    body = {"email": "alice@example.com", "password": "correct horse battery"}
    response = client.post("/auth/login", json=body, headers={"User-Agent": header})
    client.use_session(response)

    [session] = [each for each in sessions(client) if each["current"]]
    assert session["name"] == BROWSERS[header]


def test_sessions_are_sorted_by_last_refresh(alice, phone, clock):
    clock.advance(minutes=10)
    before = {each["id"]: each for each in sessions(alice)}
    assert alice.post("/auth/refresh").status_code == 200

    after = sessions(alice)

    assert after[0]["current"]
    assert time_of(after[0]["lastUsedAt"]) - time_of(after[0]["createdAt"]) >= timedelta(minutes=10)
    assert after[0]["createdAt"] == before[after[0]["id"]]["createdAt"]
    assert time_of(after[0]["expiresAt"]) > time_of(before[after[0]["id"]]["expiresAt"])
    assert after[1] == before[after[1]["id"]]


def test_authentication_writes_nothing(alice, clock):
    clock.advance(minutes=14)

    alice.get("/me")

    assert all(statement.startswith("SELECT") for statement in alice.statements)


def test_deleted_session_is_rejected_immediately(alice, phone):
    value = phone.refresh_token

    response = alice.delete(f"/auth/sessions/{own_session_id(phone)}")

    assert response.status_code == 204
    assert response.data == b""
    assert phone.get("/me").json["error"]["code"] == "INVALID_TOKEN"
    phone.refresh_token = value
    assert phone.post("/auth/refresh").json["error"]["code"] == "INVALID_TOKEN"
    assert len(sessions(alice)) == 1


def test_client_can_delete_its_own_session(alice):
    assert alice.delete(f"/auth/sessions/{own_session_id(alice)}").status_code == 204
    assert alice.get("/me").json["error"]["code"] == "INVALID_TOKEN"


def test_second_session_delete_returns_404(alice, phone):
    path = f"/auth/sessions/{own_session_id(phone)}"

    assert [alice.delete(path).status_code for _ in range(2)] == [204, 404]


def test_session_of_another_user_returns_404(alice, bob):
    for session in (own_session_id(bob), uuid4(), "1", "x"):
        response = alice.delete(f"/auth/sessions/{session}")
        assert response.status_code == 404
        assert response.json["error"]["code"] == "NOT_FOUND"
    assert bob.get("/me").status_code == 200


@pytest.mark.parametrize(
    ("scope", "left"), [("", (False, True)), ("this", (False, True)), ("others", (True, False)), ("all", (False, False))]
)  # fmt: skip
@pytest.mark.parametrize("by_cookie", [False, True])
def test_logout_scope_with_token_or_cookie(alice, phone, bob, scope, left, by_cookie):
    token = alice.token
    if by_cookie:
        alice.token = None

    response = alice.post("/auth/logout" + (f"?scope={scope}" if scope else ""))

    alice.token = token
    assert response.status_code == 204
    assert tuple(client.get("/me").status_code == 200 for client in (alice, phone)) == left
    assert ("Set-Cookie" in response.headers) is not left[0]
    assert bob.get("/me").status_code == 200


def test_unknown_logout_scope_returns_400(alice, phone):
    response = alice.post("/auth/logout?scope=everything")

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["scope"]
    assert alice.get("/me").status_code == phone.get("/me").status_code == 200


def test_expired_sessions_are_not_listed(alice, clock, make_client):
    clock.advance(days=8)
    again = make_client().log_in("alice@example.com")

    assert len(sessions(again)) == 1


def test_login_purges_some_expired_sessions(alice, database, clock, make_client, monkeypatch):
    # Small, so that the planner of PostgreSQL would repeat a subquery for each row
    monkeypatch.setattr("movies_api.auth.sessions.PURGE_BATCH", 5)
    database.execute("ANALYZE sessions" if database.is_postgresql else "ANALYZE")
    [row] = database.execute("SELECT * FROM sessions")
    columns = ", ".join(name for name in row._mapping if name != "id")
    for _ in range(7):
        statement = (
            f"INSERT INTO sessions (id, {columns}) SELECT :id, {columns} FROM sessions LIMIT 1"
        )
        identity = str(uuid4()) if database.is_postgresql else uuid4().hex
        database.execute(statement, {"id": identity})
    clock.advance(days=8)

    make_client().log_in("alice@example.com")

    assert database.execute("SELECT count(*) FROM sessions") == [(4,)]
    make_client().sign_up("Bob")
    assert database.execute("SELECT count(*) FROM sessions") == [(2,)]
