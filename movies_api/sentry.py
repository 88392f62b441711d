"""Report exceptions to Sentry, without personal data; imported only if SENTRY_DSN is set."""

import logging
from typing import Any

import sentry_sdk
from flask import g, has_request_context, request

from .logs import log


class SentryHandler(logging.Handler):
    """Sends every exception that is logged."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send it with the request id and the route; the log has the rest."""
        if not record.exc_info:
            return
        with sentry_sdk.new_scope() as scope:
            if has_request_context():
                scope.set_tag("request_id", g.get("request_id"))
                scope.set_tag("route", request.url_rule and request.url_rule.rule)
            scope.capture_exception(record.exc_info)


def init_sentry(dsn: str, release: str) -> None:
    """Set up Sentry to send only exceptions: no request, user, variables, log lines or traces."""
    sentry_sdk.init(
        dsn,
        release=release,
        default_integrations=False,
        auto_enabling_integrations=False,
        include_local_variables=False,
        max_breadcrumbs=0,
        before_send=_remove_texts,
    )
    if not any(isinstance(each, SentryHandler) for each in log.handlers):
        log.addHandler(SentryHandler())


def _remove_texts(event: Any, _hint: Any) -> Any:
    """Remove the messages of exceptions, which may contain user data."""
    for exception in event.get("exception", {}).get("values", ()):
        exception.pop("value", None)
    return event
