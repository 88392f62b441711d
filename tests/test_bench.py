"""The bench plays what the service answers: a figure of refused requests would be none."""

import pytest

from bench.profile import answer_of
from bench.scenarios import SCENARIOS
from bench.stage import stage
from movies_api import create_app
from movies_api.config import Config

pytestmark = pytest.mark.slow


def test_every_scenario_gets_the_answer_it_expects():
    with stage(people=3, each=21, heavy=41) as on:
        app, world = create_app(Config.from_environ(on.environment)), on.log_in()
        for scenario in SCENARIOS:
            script = scenario.script(world, 0)
            answer = answer_of(app, next(script))
            again = answer_of(app, script.send(answer))

            assert {answer[9:12], again[9:12]} == {b"%d" % scenario.status}, scenario.name
