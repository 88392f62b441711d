"""Mail: sent in the background, retried, and safe from injection."""

import asyncio
import json
import re
import shutil
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from functools import partial
from queue import Queue
from time import monotonic, perf_counter
from uuid import uuid4

import pytest
from aiosmtpd.smtp import AuthResult

from movies_api.mail import DRAIN_SECONDS, PAUSES, run_in_background, send_email

from ..client import PASSWORD
from ..conftest import MAIL
from ..servers import free_port, gunicorn, mail_server

RESET = {"email": "alice@example.com"}
USER = uuid4()
ATTEMPTS = len(PAUSES) + 1


def wait_for_outbox(app):
    """Wait until the outbox is empty."""
    app.extensions["outbox"].join()


@pytest.fixture
def no_pause(monkeypatch):
    """No pause between attempts."""
    monkeypatch.setattr("movies_api.mail.PAUSES", (0,) * len(PAUSES))


@pytest.mark.slow
@pytest.mark.parametrize("is_silent", [True, False])
def test_dead_mail_server_delays_no_response(make_app, is_silent, lines, no_pause, monkeypatch):
    monkeypatch.setattr("movies_api.mail.TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent_server:
        port = silent_server.getsockname()[1] if is_silent else free_port()
        app = make_app(SMTP_URL=f"smtp://127.0.0.1:{port}", **MAIL)
        alice = app.test_client().sign_up("Alice")
        started = perf_counter()

        for _ in range(3):
            assert alice.post("/auth/password-reset", json=RESET).status_code == 202

        assert perf_counter() - started < 2
        wait_for_outbox(app)
    errors = [line["message"] for line in lines() if line["level"] == "ERROR"]
    assert len(errors) == 1
    assert "check SMTP_URL" in errors[0]
    logged = [line["message"] for line in lines() if "mail" in line["message"]]
    assert len([text for text in logged if text.startswith("mail server")]) == 3 * ATTEMPTS
    assert logged.count(f"mail given up after {ATTEMPTS} attempts") == 3
    assert "alice@example.com" not in str(logged)


def test_failed_mail_is_retried(mailing_app, mailbox, no_pause, monkeypatch):
    alice, real = mailing_app.test_client().sign_up("Alice"), socket.create_connection
    attempts = []

    def connect(*args, **kwargs):
        attempts.append(args)
        if len(attempts) == 1:
            raise ConnectionRefusedError
        return real(*args, **kwargs)

    monkeypatch.setattr("smtplib.socket.create_connection", connect)
    assert alice.post("/auth/password-reset", json=RESET).status_code == 202

    assert mailbox.next()[0] == ["alice@example.com"]
    assert len(attempts) == 2


@pytest.mark.parametrize(
    ("hook", "reply", "attempts"),
    [
        ("MAIL", "550 ann@example.com is not a sender", 1),
        ("RCPT", "550 ann@example.com: no such user", 1),
        ("DATA", "554 ann@example.com gets no spam", 1),
        ("MAIL", "451 later", ATTEMPTS),
        ("RCPT", "450 ann@example.com: come back later", ATTEMPTS),
        ("DATA", "452 full", ATTEMPTS),
    ],
)
def test_permanently_rejected_mail_is_not_retried(
    mailing_app, mailbox, no_pause, lines, hook, reply, attempts
):
    received = []

    async def reject(*_):
        received.append(hook)
        return reply

    setattr(mailbox, f"handle_{hook}", reject)
    with mailing_app.app_context():
        run_in_background(
            "ann@example.com", lambda: send_email(USER, "ann@example.com", "Hello", "Hello")
        )
    wait_for_outbox(mailing_app)

    assert len(received) == attempts
    assert mailbox.received.empty()
    reason = f"rejected: {reply[:3]}" if attempts == 1 else f"given up after {ATTEMPTS} attempts"
    warnings = [line for line in lines() if line["level"] == "WARNING"]
    assert warnings[-1]["message"] == f"mail {reason}"
    assert {line["userId"] for line in warnings} == {str(USER)}
    assert len(lines()) - len(warnings) == (hook != "RCPT")  # the address, not the server
    assert "ann@" not in str(lines())


def test_attempts_last_for_minutes_and_end_before_a_reset_link_does():
    assert 15 < sum(PAUSES) / 60 < 25


def test_a_greylisted_mail_waits_and_delays_no_other(mailing_app, mailbox, monkeypatch):
    monkeypatch.setattr("movies_api.mail.PAUSES", (600, 600))
    seen, outbox = [], mailing_app.extensions["outbox"]

    async def greylist(_server, _session, envelope, address, _options):
        seen.append(address)
        if address == "ann@grey.example" and seen.count(address) == 1:
            return "451 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    mailbox.handle_RCPT = greylist
    with mailing_app.app_context():
        for email in ("ann@grey.example", *["bob@example.com"] * 5):
            run_in_background(email, partial(send_email, USER, email, "Hello", "Hello"))

    assert [mailbox.next()[0] for _ in range(5)] == [["bob@example.com"]] * 5
    with outbox.changed:
        later = lambda: [task.due > monotonic() + 60 for task in outbox.waiting]  # noqa: E731
        assert outbox.changed.wait_for(lambda: later() == [True] and not outbox.running, 20)
        outbox.waiting = [outbox.waiting[0]._replace(due=0)]  # the pause is over
        outbox.changed.notify_all()
    assert mailbox.next()[0] == ["ann@grey.example"]


def test_slow_mail_server_delays_no_other_domain(mailing_app, mailbox):
    is_over, loops = asyncio.Event(), Queue()

    async def dawdle(server, _session, envelope, address, _options):
        if address.endswith("slow.example"):
            loops.put(server.loop)
            await is_over.wait()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    mailbox.handle_RCPT = dawdle
    with mailing_app.app_context():
        for email in (*[f"ann{number}@slow.example" for number in range(10)], "bob@example.com"):
            run_in_background(email, partial(send_email, USER, email, "Hello", "Hello"))

    assert mailbox.next()[0] == ["bob@example.com"]
    loops.get(timeout=20).call_soon_threadsafe(is_over.set)
    assert len({mailbox.next()[0][0] for _ in range(10)}) == 10


def test_mail_has_date_and_unique_message_id(mailing_app, mailbox):
    with mailing_app.app_context():
        run_in_background(
            "ann@example.com", lambda: send_email(USER, "ann@example.com", "Hello", "Hello")
        )
        run_in_background(
            "ann@example.com", lambda: send_email(USER, "ann@example.com", "Hello", "Hello")
        )

    mails = [mailbox.next()[1] for _ in range(2)]
    for mail in mails:
        assert abs(mail["Date"].datetime - datetime.now(UTC)) < timedelta(minutes=1)
        assert re.fullmatch(r"<\S+@example\.com>", mail["Message-ID"])
    assert mails[0]["Message-ID"] != mails[1]["Message-ID"]


def test_error_in_one_mail_does_not_stop_others(mailing_app, mailbox, lines):
    with mailing_app.app_context():
        run_in_background("ann@example.com", lambda: 1 / 0)
        run_in_background(
            "ann@example.com", lambda: send_email(USER, "ann@example.com", "Hello", "Hello")
        )

    assert mailbox.next()[0] == ["ann@example.com"]
    wait_for_outbox(mailing_app)
    assert [line for line in lines() if "ZeroDivisionError" in line.get("exception", "")]


def test_mail_over_queue_limit_is_dropped_and_logged(mailing_app, lines, monkeypatch):
    outbox = mailing_app.extensions["outbox"]
    monkeypatch.setattr("movies_api.mail.MAX_QUEUED", 1)

    with mailing_app.app_context():
        for _ in range(5):
            outbox.submit("example.com", lambda: None, 0.2)

    [line] = [line for line in lines() if line["message"].startswith("mail dropped")]
    assert line["level"] == "ERROR"
    outbox.join()


@pytest.mark.parametrize(
    "name",
    ["Ann\r\nBcc: victim@example.com", "Visit https://evil.example now", "=?utf-8?q?Bcc:=20x?="],
)
def test_user_name_does_not_appear_in_mail(mailing_app, mailbox, name):
    client = mailing_app.test_client()
    body = {"name": name, "email": "ann@example.com", "password": PASSWORD}
    if client.post("/auth/signup", json=body).status_code == 400:
        body["name"] = name.replace("\r\n", " ")
        assert client.post("/auth/signup", json=body).status_code == 201

    client.post("/auth/password-reset", json={"email": "ann@example.com"})

    recipients, mail = mailbox.next()
    assert recipients == ["ann@example.com"]
    assert mail["Bcc"] is None
    assert not [word for word in ("victim", "evil", "Bcc") if word in mail.as_string()]


@pytest.mark.parametrize(
    ("email", "recipient"),
    [
        ('"victim@example.org,x"@example.com', None),
        ('"a>,<victim@example.org"@example.com', None),
        ("o'hara+films@example.com", "o'hara+films@example.com"),
        ("ann@b\u00fccher.example", "ann@xn--bcher-kva.example"),
        ("ann@fa\u00df.example", "ann@xn--fa-hia.example"),
        ("ann@a--b.example", "ann@a--b.example"),
        ("=?utf-8?q?victim=40example.org=2c?=@example.com", None),
        ("=?utf-8?q?victim?=@example.com", None),
        ("\u00fc@example.com", None),
        ("x" * 64 + "@example.com", "x" * 64 + "@example.com"),
    ],
)
def test_mail_is_sent_to_the_exact_address_or_not_at_all(
    mailing_app, mailbox, email, recipient, lines
):
    with mailing_app.app_context():
        run_in_background(email, lambda: send_email(USER, email, "Hello", "Hello"))
    wait_for_outbox(mailing_app)

    given = [] if mailbox.received.empty() else mailbox.next()[0]
    assert given == ([recipient] if recipient else [])
    assert bool(recipient) is not bool(
        [line for line in lines() if line["message"].startswith("mail not sent")]
    )


@pytest.mark.skipif(not shutil.which("openssl"), reason="There is no openssl on PATH.")
@pytest.mark.parametrize("is_known", [True, False])
def test_smtp_credentials_require_verified_tls(
    make_app, tmp_path, monkeypatch, no_pause, is_known, lines
):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    alternative = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *command.split(), *alternative, *files], check=True, capture_output=True)  # fmt: skip
    import ssl  # noqa: PLC0415

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if is_known:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    seen = []

    def authenticator(_server, session, _envelope, mechanism, data):
        seen.append((data.login, data.password, session.ssl is not None))
        return AuthResult(success=True)

    options = {"tls_context": context, "authenticator": authenticator, "auth_require_tls": True}
    with mail_server(**options) as mailbox:
        url = mailbox.url.replace("//", "//ann%40example.com:p%2Fw@")
        app = make_app(SMTP_URL=url, **MAIL)
        with app.app_context():
            run_in_background(
                "bob@example.com", lambda: send_email(USER, "bob@example.com", "Hello", "Hello")
            )
        wait_for_outbox(app)

        assert seen == ([(b"ann@example.com", b"p/w", True)] if is_known else [])
        assert mailbox.received.empty() is not is_known
    assert "p/w" not in str(lines())
    assert "p%2Fw" not in str(lines())


def test_smtp_credentials_are_not_sent_without_tls(make_app, mailbox, no_pause, lines):
    app = make_app(SMTP_URL=mailbox.url.replace("//", "//ann:secret@"), **MAIL)

    with app.app_context():
        run_in_background(
            "bob@example.com", lambda: send_email(USER, "bob@example.com", "Hello", "Hello")
        )
    wait_for_outbox(app)

    assert mailbox.received.empty()
    assert [line for line in lines() if "given up" in line["message"]]


def test_workers_send_queued_mail_before_stopping(database, app, mailbox):
    with gunicorn(database.url, workers=2, SMTP_URL=mailbox.url, **MAIL) as service:
        ann = {"name": "Ann", "email": "ann@example.com", "password": PASSWORD}
        assert service.request("POST", "/auth/signup", ann).status == 201
        for _ in range(8):
            response = service.request("POST", "/auth/password-reset", {"email": ann["email"]})
            assert response.status == 202

        assert service.stop() == 0

        assert [mailbox.next(5)[0] for _ in range(8)] == [["ann@example.com"]] * 8
        assert "Traceback" not in service.log


@pytest.mark.slow
def test_unresponsive_mail_server_delays_shutdown_only_briefly(database, app):
    with socket.create_server(("127.0.0.1", 0)) as silent_server:
        url = f"smtp://127.0.0.1:{silent_server.getsockname()[1]}"
        with gunicorn(database.url, workers=1, SMTP_URL=url, **MAIL) as service:
            ann = {"name": "Ann", "email": "ann@example.com", "password": PASSWORD}
            assert service.request("POST", "/auth/signup", ann).status == 201
            service.request("POST", "/auth/password-reset", {"email": ann["email"]})
            started = perf_counter()

            assert service.stop() == 0

            assert perf_counter() - started < DRAIN_SECONDS + 6
            logged = [json.loads(line) for line in service.log.split("\n") if line[:1] == "{"]
            assert [line for line in logged if line["message"].startswith("mail dropped")]
