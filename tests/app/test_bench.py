"""The bench gets the expected statuses; measuring other responses would be worthless."""

import asyncio
from itertools import islice

import pytest

from bench import crowd, load
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
