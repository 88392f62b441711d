"""Rate limits per account and per network."""

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from time import perf_counter

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeout

from movies_api.auth.rate_limits import PER_NETWORK
from movies_api.auth.tokens import reset_link

from ..client import PASSWORD
from ..concurrency import run_parallel, statuses
from ..conftest import MAIL
from ..helpers import NEW_PASSWORD
from ..servers import free_port, gunicorn, redis

WRONG = {"email": "alice@example.com", "password": "wrong password"}
RIGHT = {**WRONG, "password": PASSWORD}


def signup(number):
    """Return the signup body of a new user."""
    return {"name": "Ann", "email": f"ann{number}@example.com", "password": PASSWORD}


@pytest.fixture
def app(make_app):
    """The app, with rate limits."""
    return make_app(RATELIMIT_ENABLED="true")


@pytest.fixture
def alice(app):
    """Alice, with rate limits."""
    return app.test_client().sign_up("Alice")


@pytest.fixture
def client(app):
    """An anonymous client, with rate limits."""
    return app.test_client()


@pytest.fixture
def set_limit(monkeypatch):
    """A function that sets how many attempts a network may make."""
    return lambda action, times: monkeypatch.setattr(PER_NETWORK[action], "amount", times)


def attempt(client, times=1, body=WRONG, **options):
    """Log in repeatedly; return the statuses."""
    return [client.post("/auth/login", json=body, **options).status_code for _ in range(times)]


def test_eleventh_failed_login_of_an_account_returns_429(alice, client, bob_logs_in):
    assert attempt(client, 11) == [401] * 10 + [429]

    response = client.post("/auth/login", json=RIGHT)

    assert response.status_code == 429
    assert response.json == {
        "error": {
            "code": "RATE_LIMITED",
            "message": "Too many requests. Please wait and try again.",
            "details": {},
        }
    }
    assert 850 < int(response.headers["Retry-After"]) <= 900
    assert bob_logs_in() == 200
    assert alice.get("/movies").status_code == 200


@pytest.fixture
def bob_logs_in(app):
    """A function that logs Bob in and returns the status."""
    app.test_client().sign_up("Bob")
    body = {"email": "bob@example.com", "password": PASSWORD}
    return lambda: app.test_client().post("/auth/login", json=body).status_code


HERE, THERE = ({"environ_base": {"REMOTE_ADDR": f"192.0.2.{number}"}} for number in (1, 2))


@pytest.mark.parametrize("body", [RIGHT, WRONG])
def test_failed_logins_of_one_network_do_not_lock_other_networks(alice, client, body):
    assert attempt(client, 500, **HERE)[9:11] == [401, 429]

    assert attempt(client, 1, body, **THERE) == [200 if body is RIGHT else 401]
    assert attempt(client, 1, RIGHT, **HERE) == [429]


def test_failed_logins_of_many_networks_share_a_limit(alice, client):
    found = [
        attempt(client, 1, environ_base={"REMOTE_ADDR": f"192.0.2.{number}"})[0]
        for number in range(102)
    ]

    assert found == [401] * 100 + [429] * 2
    assert attempt(client, 1, {**RIGHT, "email": "bob@example.com"}) == [401]


def test_rejected_attempt_does_not_count(alice, client, set_limit, bob_logs_in):
    set_limit("login", 12)

    assert attempt(client, 40) == [401] * 10 + [429] * 30

    assert bob_logs_in() == 200
    assert attempt(client, 1, {**WRONG, "email": "bob@example.com"}) == [401]


def test_service_errors_do_not_count(alice, client, monkeypatch):
    def fail_to_connect(*_):
        raise PoolTimeout

    with monkeypatch.context() as outage:
        outage.setattr("movies_api.auth.views.recheck_password", fail_to_connect)
        assert attempt(client, 15, RIGHT) == [503] * 15
        outage.setattr("movies_api.auth.views.user_from_email", fail_to_connect)
        assert attempt(client, 15) == [503] * 15

    assert attempt(client, 10) == [401] * 10


def test_concurrent_correct_logins_do_not_count(alice, app):
    def log_in():
        return app.test_client().post("/auth/login", json=RIGHT)

    barrier = Barrier(20, timeout=30)  # no login ends before all twenty have started

    def wait():
        barrier.wait()

    app.before_request_funcs[None].append(wait)

    with ThreadPoolExecutor(20) as threads:
        found = [each.status_code for each in threads.map(lambda _: log_in(), range(20))]

    app.before_request_funcs[None].remove(wait)
    assert found == [200] * 20
    assert attempt(app.test_client(), 10) == [401] * 10


def test_confirmed_reset_clears_failed_logins(mailing_app, mailbox):
    client = mailing_app.test_client().sign_up("Alice")
    assert attempt(client, 11)[-1] == 429
    request_reset(mailing_app)
    body = {"token": token_in(mailbox.next()[1]), "newPassword": NEW_PASSWORD}

    assert client.post("/auth/password-reset/confirm", json=body).status_code == 204

    assert attempt(client, 1, {**RIGHT, "password": NEW_PASSWORD}) == [200]
    assert attempt(client, 11) == [401] * 10 + [429]


@pytest.mark.parametrize(
    ("hops", "header", "warns"),
    [
        ("0", None, False),
        ("0", "198.51.100.7", True),
        ("1", "198.51.100.7", False),
        ("1", "192.0.2.1, 198.51.100.7", True),
        ("2", "192.0.2.1, 198.51.100.7", False),
    ],
)
def test_limit_hit_behind_untrusted_proxy_is_logged(make_app, lines, hops, header, warns):
    client = make_app(RATELIMIT_ENABLED="true", PROXY_HOPS=hops).test_client()

    attempt(client, 11, headers={"X-Forwarded-For": header} if header else {})

    found = [line for line in lines() if "PROXY_HOPS" in line["message"]]
    assert [(line["level"], line["limit"]) for line in found] == [("WARNING", "login")] * warns


def test_equivalent_emails_share_a_limit(alice, client):
    spellings = ["alice@example.com", "ALICE@example.com", " alice@example.com "]

    found = [attempt(client, 1, {**WRONG, "email": email})[0] for email in spellings * 4]

    assert found == [401] * 10 + [429] * 2


def test_unknown_email_is_limited_too(client):
    assert attempt(client, 11) == [401] * 10 + [429]


def test_successful_logins_do_not_count(alice, client):
    assert attempt(client, 40, RIGHT) == [200] * 40
    assert attempt(client, 9) == [401] * 9
    assert attempt(client, 5, RIGHT) == [200] * 5
    assert attempt(client, 2) == [401, 429]


def test_limit_resets_after_its_window(alice, client, monkeypatch):
    assert attempt(client, 11)[-1] == 429
    real = time.time
    monkeypatch.setattr("limits.storage.memory.time.time", lambda: real() + 901)

    assert attempt(client, 1, RIGHT) == [200]


def test_each_client_ip_has_its_own_limit(client, set_limit):
    set_limit("login", 5)
    bodies = [{**WRONG, "email": f"ann{number}@example.com"} for number in range(7)]
    here, there = {"REMOTE_ADDR": "192.0.2.1"}, {"REMOTE_ADDR": "192.0.2.2"}

    found = [attempt(client, 1, body, environ_base=here)[0] for body in bodies]

    assert found == [401] * 5 + [429] * 2
    assert attempt(client, 1, bodies[0], environ_base=there) == [401]


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "nonsense", True),
    ],
)
def test_ipv6_addresses_share_the_limit_of_their_network(client, set_limit, first, second, is_same):
    set_limit("login", 1)
    assert attempt(client, 1, environ_base={"REMOTE_ADDR": first}) == [401]

    assert attempt(client, 1, environ_base={"REMOTE_ADDR": second}) == [429 if is_same else 401]


@pytest.mark.parametrize(
    ("hops", "first", "second", "is_same"),
    [
        ("0", "192.0.2.1", "192.0.2.2", True),
        ("1", "192.0.2.1", "192.0.2.2", False),
        ("1", "192.0.2.1, 198.51.100.7", "192.0.2.2, 198.51.100.7", True),
        ("2", "203.0.113.9, 192.0.2.1, 198.51.100.7", "203.0.113.9, 192.0.2.2, 198.51.100.7", False),
        ("2", "203.0.113.1, 192.0.2.1, 198.51.100.7", "203.0.113.2, 192.0.2.1, 198.51.100.8", True),
        ("1", "192.0.2.1:5678", "192.0.2.1:5679", True),
        ("1", "192.0.2.1:5678", "192.0.2.1", True),
        ("1", "192.0.2.1:5678", "192.0.2.2:5678", False),
        ("1", "[2001:db8::1]:99", "[2001:db8::2]", True),
        ("1", "[2001:db8::1]:99", "2001:db8::2", True),
        ("1", "[2001:db8::1]:99", "[2001:db8:0:1::1]:99", False),
        ("1", "[2001:db8::1]:99", "nonsense:99", False),
    ],
)  # fmt: skip
def test_client_ip_is_taken_from_trusted_proxies(make_app, set_limit, hops, first, second, is_same):
    client = make_app(RATELIMIT_ENABLED="true", PROXY_HOPS=hops).test_client()
    set_limit("login", 1)
    assert attempt(client, 1, headers={"X-Forwarded-For": first}) == [401]

    assert attempt(client, 1, headers={"X-Forwarded-For": second}) == [429 if is_same else 401]


def test_signups_are_limited_by_client_ip(client, set_limit):
    set_limit("signup", 3)

    found = [client.post("/auth/signup", json=signup(n)).status_code for n in range(5)]

    assert found == [201] * 3 + [429] * 2


def test_refreshes_are_limited_by_session_and_client_ip(alice, client, set_limit):
    set_limit("refresh", 61)
    found = [alice.post("/auth/refresh").status_code for _ in range(61)]
    assert found == [200] * 60 + [429]
    assert alice.get("/me").status_code == 200

    client.refresh_token = "x"
    assert [client.post("/auth/refresh").status_code for _ in range(2)] == [401, 429]


@pytest.fixture
def mailing_app(make_app, mailbox):
    """The app, with rate limits and a mail server."""
    return make_app(RATELIMIT_ENABLED="true", SMTP_URL=mailbox.url, **MAIL)


def request_reset(app, email="alice@example.com", times=1, **options):
    """Request a reset; return the statuses once the mails are sent."""
    client, body = app.test_client(), {"email": email}
    found = [
        client.post("/auth/password-reset", json=body, **options).status_code for _ in range(times)
    ]
    app.extensions["outbox"].join()
    return found


def token_in(mail):
    """Return the token of the link in a mail."""
    return re.search(r"token=(\S+)", mail.get_content())[1]


@pytest.mark.parametrize("email", ["alice@example.com", "nobody@example.com"])
def test_reset_over_mail_limit_returns_202_without_mail(mailing_app, mailbox, email):
    mailing_app.test_client().sign_up("Alice")

    assert request_reset(mailing_app, email, 7) == [202] * 7

    assert mailbox.received.qsize() == (5 if email == "alice@example.com" else 0)


def test_last_reset_mail_is_valid_until_the_limit_resets(mailing_app, mailbox, monkeypatch):
    mailing_app.test_client().sign_up("Alice")
    request_reset(mailing_app, times=6)
    token = [token_in(mailbox.next()[1]) for _ in range(5)][-1]
    real = time.time
    monkeypatch.setattr("limits.storage.memory.time.time", lambda: real() + 1790)
    request_reset(mailing_app)
    assert mailbox.received.empty()

    body = {"token": token, "newPassword": NEW_PASSWORD}
    response = mailing_app.test_client().post("/auth/password-reset/confirm", json=body)

    assert response.status_code == 204


def test_invalidated_reset_links_do_not_count(mailing_app, mailbox):
    client = mailing_app.test_client().sign_up("Alice")
    request_reset(mailing_app, times=5)
    body = {"token": token_in(mailbox.next()[1]), "newPassword": NEW_PASSWORD}
    assert client.post("/auth/password-reset/confirm", json=body).status_code == 204
    mailing_app.extensions["outbox"].join()
    mailbox.received.queue.clear()

    request_reset(mailing_app)

    assert mailbox.received.qsize() == 1


def test_unsent_reset_mails_do_not_count(make_app, mailbox, monkeypatch):
    monkeypatch.setattr("movies_api.mail.PAUSES", (0,))
    broken = make_app(RATELIMIT_ENABLED="true", SMTP_URL=f"smtp://127.0.0.1:{free_port()}", **MAIL)
    broken.test_client().sign_up("Alice")
    request_reset(broken, times=6)
    repaired = make_app(RATELIMIT_ENABLED="true", SMTP_URL=mailbox.url, **MAIL)
    repaired.extensions["counters"] = broken.extensions["counters"]

    request_reset(repaired)

    assert mailbox.received.qsize() == 1


def test_reset_mails_that_arrive_late_are_limited_and_have_fresh_links(
    mailing_app, mailbox, monkeypatch
):
    mailing_app.test_client().sign_up("Alice")
    client, seen, links = mailing_app.test_client(), [], []
    monkeypatch.setattr("movies_api.mail.PAUSES", (1,))
    real = reset_link
    monkeypatch.setattr(
        "movies_api.account.views.reset_link", lambda user: links.append(real(user)) or links[-1]
    )

    async def greylist(_server, _session, envelope, address, _options):
        seen.append(address)
        envelope.rcpt_tos.append(address)
        return "250 OK" if len(seen) > 8 else "451 come back later"

    mailbox.handle_RCPT = greylist
    for _ in range(8):
        client.post("/auth/password-reset", json={"email": "alice@example.com"})
    mailing_app.extensions["outbox"].join()

    assert len(seen) == 8 + 5
    assert mailbox.received.qsize() == 5
    assert len(links) == 8 + 5


def test_reset_mails_of_a_network_are_limited_silently(mailing_app, mailbox, set_limit):
    set_limit("reset", 2)
    client = mailing_app.test_client()
    for name in ("Alice", "Bob", "Carol"):
        mailing_app.test_client().sign_up(name)
    bodies = [{"email": f"{name}@example.com"} for name in ("alice", "bob", "carol")]

    responses = [client.post("/auth/password-reset", json=body) for body in bodies]
    mailing_app.extensions["outbox"].join()

    assert [(response.status_code, response.json) for response in responses] == [(202, {})] * 3
    assert mailbox.received.qsize() == 2


def test_password_reset_confirmations_are_limited_by_client_ip(client, set_limit):
    set_limit("confirm", 2)
    body = {"token": "x", "newPassword": "an even better battery"}

    found = [client.post("/auth/password-reset/confirm", json=body).status_code for _ in range(3)]

    assert found == [400, 400, 429]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/me/password", {"currentPassword": "wrong", "newPassword": "a new password"}),
        ("DELETE", "/me", {"password": "wrong"}),
        ("PATCH", "/me", {"email": "alicia@example.com", "currentPassword": "wrong"}),
    ],
)
def test_current_password_attempts_are_limited(alice, method, path, body):
    found = [alice.open(path, method=method, json=body).status_code for _ in range(11)]

    assert found == [400] * 10 + [429]
    assert alice.profile() == alice.user


def test_email_changes_are_limited(alice):
    bodies = [
        {"email": f"victim{number}@example.com", "currentPassword": PASSWORD} for number in range(6)
    ]

    assert [alice.patch("/me", json=body).status_code for body in bodies] == [200] * 5 + [429]


def test_upload_urls_are_limited_by_client_ip(alice, app, set_limit):
    set_limit("image", 2)
    bob, wanted = app.test_client().sign_up("Bob"), {"contentType": "image/png", "size": 1}

    found = [each.post("/images", json=wanted).status_code for each in (alice, bob, alice, bob)]

    assert found == [201, 201, 429, 429]


def test_rate_limits_can_be_disabled(make_app, set_limit):
    set_limit("login", 1)
    client = make_app(RATELIMIT_ENABLED="false").test_client()

    assert attempt(client, 30) == [401] * 30


def test_apps_in_one_process_count_separately(make_app):
    off, on = (make_app(RATELIMIT_ENABLED=word).test_client() for word in ("false", "true"))

    assert attempt(on, 11)[-1] == 429
    assert attempt(off, 11)[-1] == 401
    assert attempt(on)[-1] == 429


@pytest.fixture(scope="module")
def redis_url():
    """The URL of a real Redis."""
    with redis() as url:
        yield url


@pytest.mark.slow
def test_processes_share_limits_through_redis(database, redis_url, migrated_app):
    database.clear()
    settings = {"RATELIMIT_ENABLED": "true", "REDIS_URL": redis_url}
    with gunicorn(database.url, workers=2, **settings) as service:
        attempts = [partial(service.request, "POST", "/auth/login", WRONG)] * 40

        responses = run_parallel(attempts)

        # Concurrent attempts may exceed the limit
        assert statuses(responses).keys() <= {401, 429}
        assert statuses(responses)[401] >= 10
        responses = run_parallel(attempts)
        assert statuses(responses) == {429: 40}
        waits = [
            int(response.headers["Retry-After"]) for response in responses if response.status == 429
        ]
        assert all(800 < seconds <= 900 for seconds in waits)


@pytest.mark.slow
def test_concurrent_correct_logins_do_not_count_with_redis(database, redis_url, migrated_app):
    database.clear()
    account = {"name": "Dora", "email": "dora@example.com", "password": PASSWORD}
    settings = {"RATELIMIT_ENABLED": "true", "REDIS_URL": redis_url}
    with gunicorn(database.url, workers=2, **settings) as service:
        assert service.request("POST", "/auth/signup", account).status == 201
        body = {"email": "dora@example.com", "password": PASSWORD}

        responses = run_parallel([partial(service.request, "POST", "/auth/login", body)] * 30)

        assert statuses(responses) == {200: 30}


def test_successful_logins_do_not_count_with_redis(make_app, redis_url):
    app = make_app(RATELIMIT_ENABLED="true", REDIS_URL=redis_url)
    client = app.test_client().sign_up("Carol")
    right = {"email": "carol@example.com", "password": PASSWORD}

    assert attempt(client, 15, right) == [200] * 15
    assert attempt(client, 11, {**right, "password": "wrong"}) == [401] * 10 + [429]


def test_redis_keys_contain_no_email(make_app, redis_url):
    import redis as driver  # noqa: PLC0415

    attempt(make_app(RATELIMIT_ENABLED="true", REDIS_URL=redis_url).test_client())

    with driver.from_url(redis_url) as connection:
        keys = connection.keys()
        assert keys
        assert not [key for key in keys if b"alice" in key or b"@" in key]
        assert all(0 < connection.ttl(key) <= 3600 for key in keys)


def test_without_redis_each_process_counts(make_app, lines):
    url = f"redis://:s3cr3t-pw@127.0.0.1:{free_port()}/0"
    app = make_app(RATELIMIT_ENABLED="true", REDIS_URL=url)
    alice = app.test_client().sign_up("Alice")

    assert attempt(alice, 1, RIGHT) == [200]
    assert attempt(alice, 12) == [401] * 10 + [429] * 2
    assert alice.post("/auth/refresh").status_code == 200

    logged = [
        line for line in lines() if line["message"].startswith("Redis is unavailable, rate limits")
    ]
    assert {line["level"] for line in logged} == {"ERROR"}
    assert "s3cr3t-pw" not in str(logged)


def test_recovered_redis_is_used_again(make_app, redis_url):
    app = make_app(RATELIMIT_ENABLED="true", REDIS_URL=redis_url)
    used, body = app.extensions["counters"], {**WRONG, "email": "eve@example.com"}
    used.retry_at = time.monotonic() + 60
    assert attempt(app.test_client(), 3, body) == [401] * 3
    used.retry_at = 0

    assert attempt(app.test_client(), 11, body) == [401] * 10 + [429]


def test_unresponsive_redis_does_not_fail_logins(make_app, lines):
    with socket.create_server(("127.0.0.1", 0)) as silent_server:
        url = f"redis://127.0.0.1:{silent_server.getsockname()[1]}"
        alice = make_app(RATELIMIT_ENABLED="true", REDIS_URL=url).test_client().sign_up("Alice")
        started = perf_counter()

        assert attempt(alice, 1, RIGHT) == [200]

        assert perf_counter() - started < 3
    assert [
        line for line in lines() if line["message"].startswith("Redis is unavailable, rate limits")
    ]
