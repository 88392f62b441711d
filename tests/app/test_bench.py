"""The bench gets the expected statuses; measuring other responses would be worthless."""

import asyncio
from itertools import islice

import pytest
from alembic.script import ScriptDirectory

from bench import crowd, load, open_loop, rolling
from bench.scenarios import SCENARIOS, http
from bench.service import serve

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service():
    with serve(users=2, each=21, heavy=41) as running:
        yield running


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_gets_the_response_it_expects(service, name):
    status, script = SCENARIOS[name]

    for request in islice(script(service.accounts(), 0), 3):
        assert load.fetch(service.url, request)[0] == status


@pytest.mark.parametrize("name", crowd.NEIGHBOURS)
def test_neighbours_reach_the_service(service, name, monkeypatch):
    monkeypatch.setattr(crowd.service, "ROWS", 30)
    accounts, seconds = service.accounts(), 5 if name == "idle" else 0.5

    met = crowd.NEIGHBOURS[name](service.url, accounts, seconds)

    assert met.keys() <= {"200", "201", "503", "connected"}
    assert met or name == "none"


def test_crowd_is_timed(service):
    accounts = service.accounts()
    request = http("GET", "/movies", accounts.users[0])

    [result] = asyncio.run(crowd.time_requests(service.url, [request], 0.3))

    assert result.statuses == {200: 3}
    assert 0 < result.ms(0.5) <= result.ms(1)


def test_every_acknowledged_write_is_expected(service, monkeypatch):
    monkeypatch.setattr(open_loop, "BEFORE", 0.3)
    monkeypatch.setattr(open_loop, "AFTER", 0.3)
    users = service.accounts().users
    running = open_loop.OpenLoop("Rolling", service.url, None, users)

    asyncio.run(running.run(lambda: None))

    found = rolling.rows(service.environment["DATABASE_URL"])
    assert running.sent >= 100
    assert running.failures == {}
    assert len(running.expected) >= 20
    assert all({*found[title]} == notes for title, notes in running.expected.items())


def test_newer_release_has_a_migration(tmp_path):
    newer = rolling.newer_release(tmp_path)

    assert ScriptDirectory(str(newer / "migrations")).get_current_head() == "later"
