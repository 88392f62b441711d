"""Email, sent later by a thread, so that response times do not reveal whether it is sent."""

import atexit
import smtplib
import ssl
from collections.abc import Callable
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from queue import Full, Queue
from random import SystemRandom
from threading import Lock, Thread
from time import sleep
from urllib.parse import unquote, urlsplit

from email_validator import validate_email
from flask import Flask, current_app

from .config import current_config
from .logs import log

TIMEOUT = 10
PAUSES = (0, 2, 8)  # seconds before each attempt
MAX_QUEUED = 1000
FAREWELL = 5  # seconds to send queued emails when the process stops
Job = Callable[[], None]


class Outbox:
    """A job queue and its thread, which starts with the first job."""

    def __init__(self, app: Flask) -> None:
        """Create an empty queue; each forked worker starts its own thread."""
        self.app, self.jobs, self.lock = app, Queue[Job](MAX_QUEUED), Lock()
        self.thread: Thread | None = None
        self.is_draining = False

    def submit(self, job: Job) -> None:
        """Queue a job to run in an app context; if the queue is full, log an error and drop it."""
        with self.lock:
            if self.thread is None or not self.thread.is_alive():
                self.thread = Thread(target=self.run, name="outbox", daemon=True)
                self.thread.start()
                atexit.register(self.drain)
        try:
            self.jobs.put_nowait(job)
        except Full:
            log.error("mail dropped: %s are queued", MAX_QUEUED)

    def run(self) -> None:
        """Run the jobs in order; log the error of one and continue with the next."""
        while True:
            job = self.jobs.get()
            if not self.is_draining:
                # A random delay: a busy thread slows the response down, which would reveal that
                # the address has an account
                sleep(SystemRandom().uniform(0.1, 0.5))
            try:
                with self.app.app_context():
                    job()
            except Exception:  # noqa: BLE001  the thread must survive any error
                log.exception("mail not sent")
            finally:
                self.jobs.task_done()

    def drain(self) -> None:
        """Send the queued emails, for at most FAREWELL seconds."""
        self.is_draining = True
        with self.jobs.all_tasks_done:
            is_done = self.jobs.all_tasks_done.wait_for(
                lambda: not self.jobs.unfinished_tasks, FAREWELL
            )
        if not is_done:
            log.error("mail dropped: %s were queued at exit", self.jobs.unfinished_tasks)


def init_mail(app: Flask) -> None:
    """Add an outbox to the app."""
    app.extensions["outbox"] = Outbox(app)


def run_in_background(job: Job) -> None:
    """Queue a job that runs after the response."""
    current_app.extensions["outbox"].submit(job)


def send_email(to: str, subject: str, text: str, on_sent: Job = lambda: None) -> None:
    """Send an email; without SMTP_URL log a warning, in embedded mode with the text."""
    if current_config().smtp_url is None:
        content = f"; to {to}:\n{text}" if current_config().is_embedded else ""
        log.warning("SMTP_URL is not set: mail not sent%s", content)
        on_sent()
        return
    message = EmailMessage()
    message["From"], message["Subject"] = current_config().mail_from, subject
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = make_msgid(domain=message["From"].addresses[0].domain)
    message.set_content(text)
    try:
        recipient = message["To"] = _address(to)
    except (MessageError, ValueError) as error:
        log.error("mail not sent: invalid address: %s", type(error).__name__)
        return
    for number, pause in enumerate(PAUSES, 1):
        sleep(pause)
        try:
            _deliver(message, recipient.addr_spec)
        except OSError as error:  # includes the errors of smtplib
            if (code := _code_of(error)) >= 500:
                log.error("mail rejected: %s", code)  # the text may contain the address
                return
            log.warning(
                "mail server: %s, attempt %s of %s", type(error).__name__, number, len(PAUSES)
            )
        else:
            on_sent()
            return
    log.error("mail given up after %s attempts", len(PAUSES))


def _code_of(error: OSError) -> int:
    """Return the mail server's reply code, or 0 if there is none."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        [(code, _)] = error.recipients.values()
        return code
    return getattr(error, "smtp_code", 0)


def _address(to: str) -> Address:
    """Return an Address; in plain header text, parts could be decoded as encoded words."""
    found = validate_email(to, check_deliverability=False, allow_smtputf8=False)
    return Address(addr_spec=found.ascii_email)


def _deliver(message: EmailMessage, recipient: str) -> None:
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
        server.send_message(message, to_addrs=[recipient])
