"""Whether an address has an account shows in no time that an answer takes."""

from __future__ import annotations

import http.client
import json
import random
from contextlib import closing
from math import sqrt
from statistics import median
from time import perf_counter
from urllib.parse import urlsplit

import pytest

from ..client import PASSWORD
from ..conftest import MAIL
from ..servers import gunicorn, mail_server

pytestmark = pytest.mark.slow

TRIES = 200
AT_ONE_PERCENT = 2.576
# Not as slow as by default, so that 800 tries take seconds; a difference would stand out more
ARGON2 = {"ARGON2_MEMORY_KIB": "2048", "ARGON2_TIME_COST": "1", "ARGON2_PARALLELISM": "1"}
KNOWN, UNKNOWN = "known@example.com", "other@example.com"


def rank_sum(first: list[float], second: list[float]) -> float:
    """Return Wilcoxon's statistic in standard deviations: beyond 2.576 the samples differ at 1%."""
    ranks: dict[float, list[int]] = {}
    for rank, value in enumerate(sorted(first + second), 1):
        ranks.setdefault(value, []).append(rank)
    total = sum(sum(ranks[value]) / len(ranks[value]) for value in first)
    m, n = len(first), len(second)
    return (total - m * (m + n + 1) / 2) / sqrt(m * n * (m + n + 1) / 12)


def test_the_test_sees_a_difference_where_there_is_one_and_none_where_there_is_none():
    dice = random.Random(7)
    noise = [dice.expovariate(1) for _ in range(2 * TRIES)]

    assert abs(rank_sum(noise[:TRIES], noise[TRIES:])) < AT_ONE_PERCENT
    later = [value + 0.3 for value in noise[TRIES:]]
    assert rank_sum(noise[:TRIES], later) < -AT_ONE_PERCENT
    assert rank_sum(later, noise[:TRIES]) > AT_ONE_PERCENT
    assert rank_sum([1.0] * 5, [1.0] * 5) == 0


@pytest.fixture(scope="module")
def lone_service(database, migrated_app):
    """The service in one process, so that whatever it does beside an answer is in the answer's way."""
    database.clear()
    with (
        mail_server() as mailbox,
        gunicorn(database.url, workers=1, SMTP_URL=mailbox.url, **MAIL, **ARGON2) as service,
    ):
        person = {"name": "Known", "email": KNOWN, "password": PASSWORD}
        assert service.request("POST", "/auth/signup", person).status == 201
        yield service


@pytest.fixture
def sample(lone_service):
    """A function that times requests for both addresses, in random order, on one connection."""
    address = urlsplit(lone_service.url)

    def sample(path, body, status):
        seconds: dict[str, list[float]] = {KNOWN: [], UNKNOWN: []}
        order = [KNOWN, UNKNOWN] * TRIES
        random.shuffle(order)
        with closing(http.client.HTTPConnection(address.hostname, address.port)) as connection:
            for email in [KNOWN, UNKNOWN] * 5 + order:  # the first ten warm up
                text = json.dumps({"email": email, **body})
                started = perf_counter()
                connection.request("POST", path, text, {"Content-Type": "application/json"})
                response = connection.getresponse()
                response.read()
                assert response.status == status
                seconds[email].append(perf_counter() - started)
        return seconds[KNOWN][5:], seconds[UNKNOWN][5:]

    return sample


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/auth/login", {"password": "wrong password"}, 401),
        ("/auth/password-reset", {}, 202),
    ],
)
def test_no_time_tells_who_has_an_account(sample, path, body, status):
    """One sample in a hundred differs by chance; three in a row that differ the same way do not."""
    found = []
    for _ in range(3):
        known, unknown = sample(path, body, status)
        found.append(rank_sum(known, unknown))
        print(f"{path}: {median(known):.6f} s, {median(unknown):.6f} s, z = {found[-1]:.2f}")
        if abs(found[-1]) < AT_ONE_PERCENT:
            return
    assert min(found) < 0 < max(found), found
