"""Response times do not reveal whether an email has an account."""

from __future__ import annotations

import http.client
import json
import random
from contextlib import closing
from math import sqrt
from statistics import median
from time import perf_counter
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest

from movies_api.signers import revert_signer

from ..client import PASSWORD
from ..conftest import MAIL
from ..servers import SECRET_KEY, gunicorn, mail_server

pytestmark = pytest.mark.slow

ATTEMPTS = 200
AT_ONE_PERCENT = 2.576
# Cheaper than the default, so that 800 attempts take seconds; differences stand out more
ARGON2 = {"ARGON2_MEMORY_KIB": "2048", "ARGON2_TIME_COST": "1", "ARGON2_PARALLELISM": "1"}
KNOWN, UNKNOWN, DISABLED = "known@example.com", "other@example.com", "enemy@example.com"


def rank_sum(first: list[float], second: list[float]) -> float:
    """Return Wilcoxon's statistic in standard deviations: beyond 2.576 the samples differ at 1%."""
    ranks: dict[float, list[int]] = {}
    for rank, value in enumerate(sorted(first + second), 1):
        ranks.setdefault(value, []).append(rank)
    total = sum(sum(ranks[value]) / len(ranks[value]) for value in first)
    m, n = len(first), len(second)
    return (total - m * (m + n + 1) / 2) / sqrt(m * n * (m + n + 1) / 12)


def test_rank_sum_detects_only_real_differences():
    dice = random.Random(7)
    noise = [dice.expovariate(1) for _ in range(2 * ATTEMPTS)]

    assert abs(rank_sum(noise[:ATTEMPTS], noise[ATTEMPTS:])) < AT_ONE_PERCENT
    later = [value + 0.3 for value in noise[ATTEMPTS:]]
    assert rank_sum(noise[:ATTEMPTS], later) < -AT_ONE_PERCENT
    assert rank_sum(later, noise[:ATTEMPTS]) > AT_ONE_PERCENT
    assert rank_sum([1.0] * 5, [1.0] * 5) == 0


@pytest.fixture(scope="module")
def single_worker_service(database, migrated_app):
    """The service with one worker, so that background work would delay responses."""
    database.clear()
    with (
        mail_server() as mailbox,
        gunicorn(database.url, workers=1, SMTP_URL=mailbox.url, **MAIL, **ARGON2) as service,
    ):
        for email in (KNOWN, DISABLED, "me@example.com"):
            account = {"name": "Known", "email": email, "password": PASSWORD}
            answer = service.request("POST", "/auth/signup", account)
            assert answer.status == 201
        disable = f"UPDATE users SET disabled_at = created_at WHERE email = '{DISABLED}'"
        database.execute(disable)
        yield service, answer.json["accessToken"]


@pytest.fixture
def sample(single_worker_service):
    """A function that times requests with both bodies, in random order, on one connection.

    Their answers must not differ.
    """
    service, token = single_worker_service
    address = urlsplit(service.url)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}

    def sample(method, path, bodies, status):
        seconds: tuple[list[float], list[float]] = ([], [])
        texts, order = set(), [0, 1] * ATTEMPTS
        random.shuffle(order)
        with closing(http.client.HTTPConnection(address.hostname, address.port)) as connection:
            for number in [0, 1] * 5 + order:  # the first ten warm up
                text = json.dumps(bodies[number])
                started = perf_counter()
                connection.request(method, path, text, headers)
                response = connection.getresponse()
                texts.add(response.read())
                assert response.status == status
                seconds[number].append(perf_counter() - started)
        assert len(texts) == 1
        return seconds[0][5:], seconds[1][5:]

    return sample


@pytest.mark.parametrize(
    ("known", "method", "path", "body", "status"),
    [
        (KNOWN, "POST", "/auth/login", {"password": "wrong password"}, 401),
        (DISABLED, "POST", "/auth/login", {"password": PASSWORD}, 401),
        (KNOWN, "POST", "/auth/password-reset", {}, 202),
        (DISABLED, "POST", "/auth/password-reset", {}, 202),
        (KNOWN, "PATCH", "/me", {"currentPassword": "wrong password"}, 400),
    ],
)
def test_login_text_and_time_hide_whether_an_account_exists(sample, known, method, path, body, status):
    bodies = [{"email": email, **body} for email in (known, UNKNOWN)]

    _assert_alike(sample, method, path, bodies, status)


def test_invalid_revert_links_hide_whether_an_account_exists(
    sample, database
):
    [(known,)] = database.execute(f"SELECT id FROM users WHERE email = '{KNOWN}'")
    users = [UUID(str(known)).hex, uuid4().hex]
    bodies = [{"token": revert_signer((SECRET_KEY,)).sign(f"{user}.1").decode()} for user in users]

    _assert_alike(sample, "POST", "/auth/email-revert", bodies, 400)


def _assert_alike(sample, method, path, bodies, status):
    """One sample in a hundred differs by chance; three in a row that differ the same way do not."""
    found = []
    for _ in range(3):
        known, unknown = sample(method, path, bodies, status)
        found.append(rank_sum(known, unknown))
        print(f"{path}: {median(known):.6f} s, {median(unknown):.6f} s, z = {found[-1]:.2f}")
        if abs(found[-1]) < AT_ONE_PERCENT:
            return
    assert min(found) < 0 < max(found), found
