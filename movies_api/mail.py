"""Mail: sent by a thread a moment later, so that no request waits for it or can be told by it."""

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

import idna
from flask import Flask, current_app

from .config import current_config
from .logs import log

TIMEOUT = 10
PAUSES = (0, 2, 8)  # seconds before each try
MAX_QUEUED = 1000
FAREWELL = 5  # seconds to send what waits when the process is told to stop
Job = Callable[[], None]


class Outbox:
    """A queue and the thread that works it off; the thread starts with the first job."""

    def __init__(self, app: Flask) -> None:
        """Belong to an app; a worker forked from it starts a thread of its own."""
        self.app, self.jobs, self.lock = app, Queue[Job](MAX_QUEUED), Lock()
        self.thread: Thread | None = None
        self.is_draining = False

    def submit(self, job: Job) -> None:
        """Have the job done soon, in an app context; a queue that is full drops it, and says so."""
        with self.lock:
            if self.thread is None or not self.thread.is_alive():
                self.thread = Thread(target=self.run, name="outbox", daemon=True)
                self.thread.start()
                atexit.register(self.drain)
        try:
            self.jobs.put_nowait(job)
        except Full:
            log.error("mail dropped: %s are waiting", MAX_QUEUED)

    def run(self) -> None:
        """Do one job after the other; a fault of one is logged and ends only that one."""
        while True:
            job = self.jobs.get()
            if not self.is_draining:
                # Later than the request, by a time nobody knows: a busy thread slows the answer
                # down, and only an address that has an account makes this one busy
                sleep(SystemRandom().uniform(0.1, 0.5))
            try:
                with self.app.app_context():
                    job()
            except Exception:  # noqa: BLE001  the thread must outlive whatever a job does
                log.exception("mail not sent")
            finally:
                self.jobs.task_done()

    def drain(self) -> None:
        """Send what still waits, for a few seconds at most."""
        self.is_draining = True
        with self.jobs.all_tasks_done:
            is_done = self.jobs.all_tasks_done.wait_for(
                lambda: not self.jobs.unfinished_tasks, FAREWELL
            )
        if not is_done:
            log.error("mail dropped: %s were waiting at the end", self.jobs.unfinished_tasks)


def init_mail(app: Flask) -> None:
    """Give the app an outbox."""
    app.extensions["outbox"] = Outbox(app)


def run_in_background(job: Job) -> None:
    """Do the job after this request has been answered, whatever it takes."""
    current_app.extensions["outbox"].submit(job)


def send_email(to: str, subject: str, text: str) -> None:
    """Send a mail; without SMTP_URL, which embedded mode can do without, it goes to the log."""
    if current_config().smtp_url is None:
        shown = f"; it would be, to {to}:\n{text}" if current_config().is_embedded else ""
        log.warning("A mail is not sent, for SMTP_URL is not set%s", shown)
        return
    message = EmailMessage()
    message["From"], message["Subject"] = current_config().mail_from, subject
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = make_msgid(domain=message["From"].addresses[0].domain)
    message.set_content(text)
    try:
        recipient = message["To"] = _address(to)
    except (MessageError, ValueError) as error:
        log.error("mail not sent, the address does not fit in one: %s", type(error).__name__)
        return
    for number, pause in enumerate(PAUSES, 1):
        sleep(pause)
        try:
            _deliver(message, recipient.addr_spec)
        except OSError as error:  # which those of smtplib are too
            if (code := _code_of(error)) >= 500:
                log.error("mail refused for good: %s", code)  # the text may hold the address
                return
            log.warning("mail server: %s, try %s of %s", type(error).__name__, number, len(PAUSES))
        else:
            return
    log.error("mail given up after %s tries", len(PAUSES))


def _code_of(error: OSError) -> int:
    """Return the mail server's reply code, or 0 when there was none."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        [(code, _)] = error.recipients.values()
        return code
    return getattr(error, "smtp_code", 0)


def _address(to: str) -> Address:
    """Return the address as one; as text in a header parts of it could be taken for encoded."""
    local, _, domain = to.rpartition("@")
    return Address(addr_spec=f"{local}@{ascii_domain(domain)}")


def ascii_domain(domain: str) -> str:
    """Return the domain as mail servers know it (IDNA 2008), or raise IDNAError, a ValueError."""
    domain = domain.lower() if domain.isascii() else domain
    if domain.isascii() and "xn--" not in domain:
        return domain
    return idna.encode(domain, uts46=True).decode()


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
            server.starttls(context=context)  # fails where there is none: no password in clear
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
        server.send_message(message, to_addrs=[recipient])
