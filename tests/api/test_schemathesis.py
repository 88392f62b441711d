"""Schemathesis: valid and invalid requests generated from the OpenAPI document."""

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

pytestmark = [pytest.mark.slow, pytest.mark.only_on("postgresql")]  # the stricter database

# The same requests in every run; test_fuzz.py covers random ones
SETTINGS = settings(
    max_examples=20,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# Schemas do not express every rule (control characters are rejected, surrounding whitespace is
# trimmed); the tests of each endpoint do
EXCLUDED_CHECKS = {"positive_data_acceptance", "negative_data_rejection"}


def checks() -> list[Any]:
    """Return Schemathesis's checks except those that need schemas to express every rule."""
    load_all_checks()
    return CHECKS.get_by_names(sorted({*CHECKS.get_all_names()} - EXCLUDED_CHECKS))


def send_and_check(client: Client, case: Case) -> None:
    """Send a request after a new login, since the request may end the session."""
    login = {"email": client.user["email"], "password": PASSWORD}
    token = client.use_session(client.post("/auth/login", json=login)).token
    selected = checks()
    if case.path == "/auth/password-reset":  # its 501 is documented: the suite has no mail server
        selected = [check for check in selected if check.__name__ != "not_a_server_error"]
    if case.path == "/auth/logout":  # deletes any cookie, also one of an ended session
        selected = [check for check in selected if check.__name__ != "ignored_auth"]
    case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=selected)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_generated_requests_get_documented_responses(app, alice, mode):
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    operations = [found.ok() for found in schema.get_all_operations()]
    untested = []
    for operation in operations:
        cases = operation.as_strategy(generation_mode=mode)
        try:
            SETTINGS(given(client=just(alice), case=cases)(send_and_check))()
        except Unsatisfiable:
            untested.append(operation.label)

    # Without parameters or a body there is nothing to make invalid
    assert untested == ([] if mode is GenerationMode.POSITIVE else ["GET /health", "GET /ready"])
    assert len(operations) > len(untested)
