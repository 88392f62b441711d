"""deploy/: each file is accepted by the tool that reads it, and names what exists."""

import json
import re

import pytest
import yaml

from ..servers import CHECKOUT

DEPLOY = CHECKOUT / "deploy"
METRICS = set(
    re.findall(r'\(\s*"([a-z]+_[a-z_]+|emails)"', (CHECKOUT / "movies_api/metrics.py").read_text())
)


@pytest.mark.parametrize("name", ["alerts.yml", "grafana.json"])
def test_alerts_and_dashboard_use_metrics_that_exist(name):
    text = (DEPLOY / name).read_text()
    used = set(re.findall(r"\b((?:http|queue|database|emails)_[a-z_]+)\b", text))

    assert len(used) > 3
    for metric in used:
        assert re.sub(r"_(total|bucket|count)$", "", metric) in METRICS, metric


def test_the_dashboard_can_be_parsed():
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())

    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) == 6


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("*.y*ml")), ids=lambda path: path.name)
def test_yaml_can_be_parsed(path):
    assert all(yaml.safe_load_all(path.read_text()))
