"""Email: sent by background threads, so that response times do not reveal whether it is sent."""

import atexit
import smtplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from functools import partial
from random import SystemRandom
from threading import Condition, Thread
from time import monotonic
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from uuid import UUID

from blinker import signal
from email_validator import validate_email
from flask import Flask, current_app

from .config import current_config
from .logs import log, log_outage

TIMEOUT = 10
PAUSES = (10, 60, 300, 900)  # seconds before further attempts: greylisting takes minutes
THREADS = 4
MAX_QUEUED = 1000
DRAIN_SECONDS = 5  # seconds to send queued emails when the process stops
Job = Callable[[], None]
mail_finished = signal("mail-finished")  # the sender is "sent" or "failed"


class Mail(NamedTuple):
    """An email to a user; `write` returns its text for each attempt, or None to drop it."""

    user: UUID
    to: str
    subject: str
    write: Callable[[], str | None]
    on_sent: Job


class ScheduledJob(NamedTuple):
    """A job, the domain it sends an email to, and the time to run it."""

    due: float
    domain: str
    job: Job


class Outbox:
    """A job queue and its threads, which start with the first job.

    Jobs for one domain run one at a time, so that its slow mail server does not delay mail to other
    domains, and the limit of reset emails is exact.
    """

    def __init__(self, app: Flask) -> None:
        """Create an empty queue; each forked worker starts its own threads."""
        self.app, self.changed, self.is_draining = app, Condition(), False
        self.waiting: list[ScheduledJob] = []
        self.running: list[ScheduledJob] = []
        self.threads: list[Thread] = []

    def submit(self, domain: str, job: Job, delay: float) -> None:
        """Queue a job to run in an app context; if the queue is full, log an error and drop it."""
        with self.changed:
            if len(self.waiting) >= MAX_QUEUED:
                log_outage("mail queue", "mail dropped: %s are queued", MAX_QUEUED)
                return
            if not any(thread.is_alive() for thread in self.threads):
                self.threads = [
                    Thread(target=self.run, name="outbox", daemon=True) for _ in range(THREADS)
                ]
                for thread in self.threads:
                    thread.start()
                atexit.register(self.drain)
            self.waiting.append(ScheduledJob(monotonic() + delay, domain, job))
            self.changed.notify_all()

    def run(self) -> None:
        """Run jobs when they are due; log the error of one and continue with the next."""
        while True:
            task = self._next_task()
            with self.app.app_context():
                try:
                    task.job()
                except Exception as error:  # noqa: BLE001  the thread must survive any error
                    log_outage(f"mail {type(error).__name__}", "mail not sent", exc_info=True)
            with self.changed:
                self.running.remove(task)
                self.changed.notify_all()

    def _next_task(self) -> ScheduledJob:
        """Wait for the first task that is due; when the process stops, every task is."""
        with self.changed:
            while True:
                busy = {task.domain for task in self.running}
                free = [task for task in self.waiting if task.domain not in busy]
                task = min(free, key=lambda task: task.due, default=None)
                seconds = task and task.due - monotonic()
                if task and (self.is_draining or task.due <= monotonic()):
                    self.waiting.remove(task)
                    self.running.append(task)
                    return task
                self.changed.wait(seconds)

    def join(self, seconds: float | None = None) -> bool:
        """Wait until no job is left; return False after that many seconds."""
        with self.changed:
            return self.changed.wait_for(lambda: not (self.waiting or self.running), seconds)

    def drain(self) -> None:
        """Send the queued emails, for at most DRAIN_SECONDS seconds."""
        with self.changed:
            self.is_draining = True
            self.changed.notify_all()
        if not self.join(DRAIN_SECONDS):
            count = len(self.waiting) + len(self.running)
            log.error("mail dropped: %s were queued at exit", count)


def run_in_background(to: str, job: Job) -> None:
    """Queue a job that sends an email to the address after the response."""
    # A random delay: a busy thread slows the response down, which would reveal that the address
    # has an account
    _outbox().submit(to.rpartition("@")[2], job, SystemRandom().uniform(0.1, 0.5))


def _outbox() -> Outbox:
    outbox: Outbox = current_app.extensions["outbox"]
    return outbox


def send_email(
    user: UUID,
    to: str,
    subject: str,
    text: str | Callable[[], str | None],
    on_sent: Job = lambda: None,
) -> None:
    """Send an email to a user; without SMTP_URL log a warning, in embedded mode with the text."""
    _attempt(Mail(user, to, subject, text if callable(text) else lambda: text, on_sent), 1)


def _attempt(mail: Mail, number: int) -> None:
    """Deliver an email; after a temporary error, queue the next attempt."""
    if (text := mail.write()) is None:
        return
    if current_config().smtp_url is None:
        content = f"; to {mail.to}:\n{text}" if current_config().is_embedded else ""
        log.warning("SMTP_URL is not set: mail not sent%s", content)
        mail.on_sent()
        return
    about = {"fields": {"userId": mail.user}}
    message = EmailMessage()
    message["From"], message["Subject"] = current_config().mail_from, mail.subject
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = make_msgid(domain=message["From"].addresses[0].domain)
    message.set_content(text)
    try:
        found = validate_email(mail.to, check_deliverability=False, allow_smtputf8=False)
        # In plain header text, parts could be decoded as encoded words
        recipient = message["To"] = Address(addr_spec=found.ascii_email)
    except (MessageError, ValueError) as error:
        log.warning("mail not sent: %s", type(error).__name__, extra=about)
        mail_finished.send("failed")
        return
    try:
        with mail_server() as server:
            server.send_message(message, to_addrs=[recipient.addr_spec])
    except OSError as error:  # includes the errors of smtplib, whose text may contain the address
        code, name = getattr(error, "smtp_code", 0), type(error).__name__
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            [(code, _)] = error.recipients.values()
        else:
            log_outage(
                "mail", "mail unavailable: %s: check SMTP_URL and MAIL_FROM", name, code=code
            )
        log.warning("mail server: %s, attempt %s", name, number, extra=about)
        if code >= 500 or number > len(PAUSES) or _outbox().is_draining:
            reason = f"rejected: {code}" if code >= 500 else f"given up after {number} attempts"
            log.warning("mail %s", reason, extra=about)
            mail_finished.send("failed")
            return
        retry = partial(_attempt, mail, number + 1)
        _outbox().submit(recipient.domain, retry, PAUSES[number - 1])
    else:
        mail.on_sent()
        mail_finished.send("sent")


@contextmanager
def mail_server() -> Iterator[smtplib.SMTP]:
    """Yield a connection to the mail server, encrypted and logged in, or raise an OSError."""
    url = urlsplit(current_config().smtp_url or "")
    host, context = url.hostname or "", ssl.create_default_context()
    if url.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, url.port or 465, timeout=TIMEOUT, context=context
        )
    else:
        server = smtplib.SMTP(host, url.port or 587, timeout=TIMEOUT)
    with server:
        server.ehlo()
        if url.scheme == "smtp" and (url.username or server.has_extn("starttls")):
            server.starttls(context=context)  # raises without STARTTLS: no plain text password
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
        yield server
