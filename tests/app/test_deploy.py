"""deploy/: each file is accepted by the tool that reads it, and names what exists."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from importlib.metadata import metadata

import pytest
import yaml

from movies_api.config import SECRETS
from movies_api.config_docs import SERVER, documented_settings

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


SCHEMA = "check-jsonschema --builtin-schema vendor."


@pytest.mark.parametrize(
    "command",
    [
        "hadolint Dockerfile",
        f"{SCHEMA}compose-spec compose.yaml",
        f"{SCHEMA}dependabot .github/dependabot.yml",
        f"{SCHEMA}github-workflows .github/workflows/ci.yml .github/workflows/release.yml",
        "zizmor --offline --min-severity medium .github",
        "kubernetes-validate --strict deploy/kubernetes.yaml",
        "promtool check rules deploy/alerts.yml",
        "promtool check config --syntax-only deploy/prometheus.yml",
        "caddy validate --adapter caddyfile --config deploy/Caddyfile",
    ],
)
def test_tools_accept_files(command, tmp_path):
    env = {**os.environ, "DOMAIN": "localhost", "HOME": str(tmp_path)}
    env["PATH"] = f"{sys.prefix}/bin:{env['PATH']}"
    tool, *arguments = command.split()
    if not (path := shutil.which(tool, path=env["PATH"])):
        pytest.skip(f"needs {tool}")

    done = subprocess.run(
        [path, *arguments], cwd=CHECKOUT, env=env, capture_output=True, timeout=60, check=False
    )

    assert done.returncode == 0, done


def test_actions_are_pinned():
    workflows = (CHECKOUT / ".github/workflows").glob("*.yml")
    used = re.findall(r"uses: (\w.*)", "".join(path.read_text() for path in workflows))

    assert len(used) > 8
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", each) for each in used)


LOCKED = re.findall(
    r"^([a-z0-9-]+)==\S+ \\", (CHECKOUT / "requirements.txt").read_text(), re.MULTILINE
)


def test_requirements_lock_the_optional_packages():
    config = ConfigParser()
    config.read(CHECKOUT / "setup.cfg")
    extras = config["options.extras_require"]
    optional = "".join(extras[each] for each in extras if each not in {"test", "dev"})

    assert set(re.findall(r"[a-z0-9-]+(?=>=)", optional)) <= set(LOCKED)


def is_accepted(licence):
    known = re.search(r"\b(MIT|BSD|Apache|ISC|MPL|PSF|Unlicense|LGPL|ZPL)\b", licence)
    return bool(known) and not re.search(r"\bA?GPL", licence)


def test_licences_of_dependencies_are_accepted():
    licences = dict.fromkeys(LOCKED, "")
    for package in LOCKED:
        for name, text in metadata(package).items():
            if name in {"License", "License-Expression"} or text.startswith("License ::"):
                licences[package] += f"{text}\n"

    assert {each: text for each, text in licences.items() if not is_accepted(text)} == {}
    assert not any(map(is_accepted, ["", "GPLv3", "AGPL-3.0-only", "MIT AND GPL-2.0-or-later"]))


@pytest.fixture
def accepts(tmp_path):
    """A function that has a tool check a copy of a file, with a certificate of the test."""

    def check(name, command, edit=lambda text: text):
        if not (shutil.which(command[0]) and shutil.which("openssl")):
            pytest.skip(f"needs {command[0]} and openssl")
        pem = tmp_path / "pem"
        make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x"]
        subprocess.run([*make, "-out", pem, "-keyout", tmp_path / "key"], check=True, timeout=30)
        pem.write_bytes(pem.read_bytes() + (tmp_path / "key").read_bytes())
        text = re.sub(r"/etc/\S+\.pem", str(pem), (DEPLOY / name).read_text())
        (tmp_path / name).write_text(edit(text))
        done = subprocess.run(
            [*command, tmp_path / name], capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode == 0 and done.stderr.count("warning") == 0, done.stderr

    return check


def test_nginx_example_is_valid(accepts, tmp_path):
    head = f"error_log {tmp_path}/error.log; pid {tmp_path}/pid; events {{}}"
    is_accepted, message = accepts(
        "nginx.conf",
        ["nginx", "-t", "-p", tmp_path, "-c"],
        lambda text: f"{head} http {{ access_log off; {text} }}",
    )

    assert is_accepted, message


def test_haproxy_accepts_its_configuration(accepts):
    is_accepted, message = accepts("haproxy.cfg", ["haproxy", "-c", "-f"])

    assert is_accepted, message


@pytest.mark.parametrize(
    "name", ["movies_api.service", "movies_api-backup.service", "movies_api-backup.timer"]
)
def test_systemd_accepts_its_units(accepts, tmp_path, name):
    def edit(text):
        (tmp_path / "movies_api-backup.service").write_text(
            (DEPLOY / "movies_api-backup.service")
            .read_text()
            .replace("/srv/movies_api/.venv", sys.prefix)
        )
        return text.replace("/srv/movies_api/.venv", sys.prefix)

    is_accepted, message = accepts(name, ["systemd-analyze", "verify", "--man=no"], edit)

    assert is_accepted, message


def test_platforms_migrate_before_they_serve():
    fly = tomllib.loads((DEPLOY / "fly.toml").read_text())
    railway = json.loads((DEPLOY / "railway.json").read_text())
    [render] = yaml.safe_load((DEPLOY / "render.yaml").read_text())["services"]
    parts = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
    jobs = [part for part in parts if part["kind"] == "Job"]
    migrate = jobs[0]["spec"]["template"]["spec"]["containers"][0]["command"]

    commands = [fly["deploy"]["release_command"], *railway["deploy"]["preDeployCommand"]]
    commands += [render["preDeployCommand"], " ".join(migrate)]
    assert commands == ["flask --app wsgi db upgrade"] * 4


def test_platform_files_set_variables_that_exist():
    known = {each.variable for each in (*documented_settings(), *SERVER)}
    known |= {f"{each}_FILE" for each in SECRETS}
    fly = tomllib.loads((DEPLOY / "fly.toml").read_text())["env"]
    [render] = yaml.safe_load((DEPLOY / "render.yaml").read_text())["services"]
    [config, *_] = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())

    assert {*fly, *config["data"], *(each["key"] for each in render["envVars"])} <= known


def test_compose_mounts_files_that_exist():
    compose = yaml.safe_load((CHECKOUT / "compose.yaml").read_text())
    mounts = [path for each in compose["services"].values() for path in each.get("volumes", [])]

    assert all((CHECKOUT / path.split(":")[0]).exists() for path in mounts if path.startswith("."))
    named = {path.split(":")[0] for path in mounts if not path.startswith(".")}
    assert named == set(compose["volumes"])
