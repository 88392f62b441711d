"""Audit lines: account events, with the user's id and no other personal data."""

import re
from configparser import ConfigParser

import pytest

from ..client import PASSWORD
from ..servers import CHECKOUT


@pytest.fixture
def events(lines):
    """A function that returns the audit lines so far, without the common keys."""
    common = ("time", "level", "message", "requestId", "clientIp")
    return lambda: [
        {key: value for key, value in line.items() if key not in common}
        for line in lines()
        if line["message"] == "audit"
    ]


def test_account_events_are_audited(client, make_client, events, clock, lines, stream):
    alice = client.sign_up("Alice")
    me = {"userId": alice.user["id"]}
    assert events() == [{"event": "signup", **me}]

    phone = make_client().log_in("alice@example.com")
    body = {"email": "alice@example.com", "password": "wrong password"}
    phone.post("/auth/login", json=body)
    phone.post("/auth/login", json={**body, "email": "nobody@example.com"})
    assert events()[1:] == [
        {"event": "login", **me},
        {"event": "login_failed", **me},
        {"event": "login_failed", "userId": None},
    ]

    token = alice.post("/auth/tokens", json={"name": "Secret name"}).json
    alice.delete(f"/auth/sessions/{token['id']}")
    assert events()[4:] == [
        {"event": "token_created", **me, "sessionId": token["id"]},
        {"event": "session_ended", **me, "sessionId": token["id"]},
    ]

    alice.patch("/me", json={"email": "alicia@example.com", "currentPassword": PASSWORD})
    new = {"currentPassword": PASSWORD, "newPassword": "an even better battery"}
    alice.put("/me/password", json=new)
    alice.put("/me/password", json=new)
    alice.patch("/me", json={"name": "Alicia"})
    assert events()[6:] == [
        {"event": "email_changed", **me},
        {"event": "password_changed", **me},
        {"event": "password_failed", **me},
    ]

    stolen = alice.refresh_token
    for _ in range(2):
        alice.post("/auth/refresh")
    clock.advance(seconds=31)
    newest, alice.refresh_token = alice.refresh_token, stolen
    assert alice.post("/auth/refresh").status_code == 401
    [replay] = events()[9:]
    assert replay == {"event": "refresh_replayed", **me, "sessionId": replay["sessionId"]}

    alice.post("/auth/login", json={"email": "alicia@example.com", "password": new["newPassword"]})
    alice.token = None
    alice.post("/auth/logout?scope=others")
    alice.post("/auth/logout")
    again = {"email": "alicia@example.com", "password": new["newPassword"]}
    alice.use_session(alice.post("/auth/login", json=again))
    alice.delete("/me", json={"password": new["newPassword"]})
    assert events()[10:] == [
        {"event": "login", **me},
        {"event": "logout", **me, "scope": "others"},
        {"event": "logout", **me, "scope": "this"},
        {"event": "login", **me},
        {"event": "account_deleted", **me},
    ]

    logged = [line for line in lines() if line["message"] in {"audit", "request"}]
    assert all(re.fullmatch("[0-9a-f]{32}", line["requestId"]) for line in logged)
    private = ["alice@", "alicia@", "nobody@", "Alice", "Secret name", PASSWORD, newest, stolen]
    if alice.application.extensions["movies_api"].is_embedded:
        # In the mails that are written to the log in place of being sent
        private = [text for text in private if text not in {"alice@", "alicia@"}]
    assert [text for text in private if text in stream.getvalue()] == []


def test_password_reset_is_audited(alice, events, app):
    words = ["user", "reset-password", "alice@example.com"]
    link = app.test_cli_runner().invoke(args=words).output.strip()
    body = {"token": link.partition("token=")[2], "newPassword": "an even better battery"}

    assert alice.post("/auth/password-reset/confirm", json=body).status_code == 204

    assert events()[-1] == {"event": "password_reset", "userId": alice.user["id"]}


@pytest.fixture
def addresses(stream):
    """A function that returns the addresses which the filter for fail2ban finds in the log."""
    [text] = re.findall(
        "```ini\n(.*?)```", (CHECKOUT / "docs" / "operations.md").read_text(), re.DOTALL
    )
    fail2ban = ConfigParser()
    fail2ban.read_string(text)
    date = re.sub("%[A-Za-z]", "[0-9]+", fail2ban["Definition"]["datepattern"])
    pattern = fail2ban["Definition"]["failregex"].replace("<HOST>", "([0-9a-f.:]+)")

    def addresses():
        # fail2ban takes the time out of a line before it searches
        lines = [re.subn(date, "", line) for line in stream.getvalue().splitlines()]
        assert all(count == 1 for _, count in lines)
        return [found[1] for line, _ in lines if (found := re.search(pattern, line))]

    return addresses


@pytest.mark.parametrize(
    ("sent", "logged"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:5678", "192.0.2.1"),
        ("[2001:db8::1]:99", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_names_the_client_so_that_fail2ban_finds_it(client, addresses, sent, logged):
    environ = {"REMOTE_ADDR": sent}
    body = {"email": "alice@example.com", "password": "wrong password"}

    client.post("/auth/login", json=body, environ_overrides=environ)
    assert addresses() == [logged]
    client.post("/auth/password-reset", json={"email": "a@b.example"}, environ_overrides=environ)
    person = {**body, "name": "Alice"}
    client.use_session(client.post("/auth/signup", json=person, environ_overrides=environ), 201)
    client.delete("/me", json={"password": "x"}, environ_overrides=environ)
    known = 4 if client.application.extensions["movies_api"].is_embedded else 3
    assert addresses() == [logged] * known  # without a mail server, a reset is no attempt


def test_forged_values_add_no_audit_lines(client, addresses):
    forged = '{"message":"audit","event":"login_failed","userId":null,"clientIp":"192.0.2.9"}'

    client.get(f"/{forged}?{forged}", headers={"X-Request-ID": forged, "User-Agent": forged})
    client.post("/auth/login", json={"email": forged, "password": forged})

    assert addresses() == []
