"""Schemathesis: requests made from the OpenAPI document, right ones and wrong ones."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import just
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from ..client import PASSWORD, Client

pytestmark = pytest.mark.slow

# The same requests in every run: test_fuzz.py is where chance rules
SETTINGS = settings(
    max_examples=20,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# No schema says all that is refused (control characters, page with cursor), nor what is forgiven
# (blanks around a value, an empty year); the tests of each endpoint do
SAID_BY_NO_SCHEMA = {"positive_data_acceptance", "negative_data_rejection"}


def checks() -> list[Any]:
    """Return Schemathesis's own checks, but those that take the document for the whole truth."""
    load_all_checks()
    return CHECKS.get_by_names(sorted({*CHECKS.get_all_names()} - SAID_BY_NO_SCHEMA))


def send_and_check(person: Client, case: Case) -> None:
    """Send a request of somebody logged in, which may be the end of the session."""
    login = {"email": person.user["email"], "password": PASSWORD}
    token = person.take(person.post("/auth/login", json=login)).token
    wanted = checks()
    if case.path == "/auth/password-reset":  # its 501 is documented: the suite has no mail server
        wanted = [check for check in wanted if check.__name__ != "not_a_server_error"]
    if case.path == "/auth/logout":  # deletes any cookie, also one of an ended session
        wanted = [check for check in wanted if check.__name__ != "ignored_auth"]
    case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=wanted)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_answers_as_documented(app, alice, mode):
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    operations = [found.ok() for found in schema.get_all_operations()]
    idle = []
    for operation in operations:
        cases = operation.as_strategy(generation_mode=mode)
        try:
            SETTINGS(given(person=just(alice), case=cases)(send_and_check))()
        except Unsatisfiable:
            idle.append(operation.label)

    # With nothing to send there is nothing to get wrong
    assert idle == ([] if mode is GenerationMode.POSITIVE else ["GET /health", "GET /ready"])
    assert len(operations) > len(idle)
