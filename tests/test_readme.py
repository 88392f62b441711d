"""The README: what it shows runs, and what it lists exists."""

import json
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from dataclasses import fields

import pytest

from movies_api.answers import ANSWERS
from movies_api.auth.limits import ACCOUNT, ADDRESS
from movies_api.config import Config
from movies_api.errors import CODES

from .readme import README, STATED_URL, examples, file_example
from .servers import CHECKOUT

pytestmark = pytest.mark.slow

TEXT = README.read_text(encoding="utf-8")
needs_node = pytest.mark.skipif(
    not shutil.which("node"), reason="There is no node on PATH to run the frontend's code."
)


def steps_of(block):
    """Split a block of shell into (command, stated output): a comment right behind a command is its output."""
    for part in re.split(r"\n{2,}", block.strip()):
        lines = part.splitlines()
        stated = [line.removeprefix("# ") for line in lines if line.startswith("# ")]
        yield "\n".join(line for line in lines if not line.startswith("# ")), "\n".join(stated)


def pattern_of(stated):
    """Return the pattern of a stated output, in which an ellipsis stands for anything."""
    return ".*".join(re.escape(part) for part in stated.split("…"))


def test_every_line_of_the_tour_does_what_it_says(service, tmp_path):
    steps = [
        step for block in examples("bash", "A tour with curl") for step in steps_of(block.text)
    ]
    assert len(steps) > 12
    script = "\nprintf '\\0'\n".join(command for command, _ in steps)
    script = script.replace(STATED_URL, service.url.removeprefix("http://"))

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    for (command, stated), output in zip(steps, done.stdout.split("\0"), strict=True):
        assert re.fullmatch(pattern_of(stated), output.strip()), f"{command}\n{output}"


def node(code, folder):
    """Run a module with node and return what it prints as JSON."""
    (folder / "run.mjs").write_text(code)
    done = subprocess.run(
        ["node", "run.mjs"], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# A browser's part of the work: keep the refresh cookie, send it to /auth and nowhere else
COOKIES = """
const real = globalThis.fetch;
let cookie;
globalThis.fetch = async (url, options) => {
  if (options.credentials === "include" && cookie && new URL(url).pathname.startsWith("/auth/")) options.headers.Cookie = cookie;
  const response = await real(url, options);
  for (const set of response.headers.getSetCookie()) cookie = set.includes("Max-Age=0;") ? undefined : set.split(";")[0];
  return response;
};
"""


@needs_node
def test_the_client_works_in_node(service, tmp_path):
    (tmp_path / "lib").mkdir()
    client = file_example("lib/api.js").replace(f"http://{STATED_URL}", service.url)
    (tmp_path / "lib" / "api.js").write_text(client)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (use,) = [
        each.text for each in examples("js", "In a frontend") if each.text.startswith("import")
    ]
    (tmp_path / "use.js").write_text(use)
    service.request(
        "POST",
        "/auth/signup",
        {"name": "Ann", "email": "ann@example.com", "password": "correct horse battery"},
    )

    result = node(
        COOKIES
        + """
        const { submitLogin, submitMovie } = await import("./use.js");
        const { api, logOut } = await import("./lib/api.js");
        const shown = [];
        const show = (message) => shown.push(message);
        await submitLogin("ann@example.com", "wrong", show);
        await submitLogin("ann@example.com", "correct horse battery", show);
        const movie = await submitMovie("Alien", "1979", "", show);
        await submitMovie("", "1979", "", show);
        await submitMovie("Aliens", "soon", "", show);
        const list = await api("GET", "/movies");
        await logOut();
        const after = await api("GET", "/me").catch(({ status, code }) => [status, code]);
        console.log(JSON.stringify({ shown, movie, list, after }));
        """,
        tmp_path,
    )

    assert result["shown"] == [
        "Wrong email or password.",
        "Enter a value.",
        "year: Give four digits, such as 1999.",
    ]
    assert result["list"]["items"] == [result["movie"]]
    assert result["after"] == [401, "MISSING_TOKEN"]


@needs_node
def test_the_settings_page_works_in_node(service, app, tmp_path):
    (tmp_path / "lib").mkdir()
    for name in ("lib/api.js", "lib/account.js"):
        code = file_example(name).replace(f"http://{STATED_URL}", service.url)
        (tmp_path / name).write_text(code)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    ann = {"name": "Ann", "email": "ann@example.com", "password": "correct horse battery"}
    assert service.request("POST", "/auth/signup", ann).status == 201
    before = node(
        COOKIES
        + """
        const { api, logIn } = await import("./lib/api.js");
        const account = await import("./lib/account.js");
        await logIn({ email: "ann@example.com", password: "correct horse battery" });
        const edited = await account.editProfile({ name: "Anna", preferences: { theme: "dark" } });
        const wrong = await account.changeEmail("anna@example.com", "wrong").catch((e) => e.details);
        const moved = await account.changeEmail("anna@example.com", "correct horse battery");
        const sessions = await account.listSessions();
        await account.endSession(sessions.find((each) => !each.current).id);
        await account.logOutElsewhere();
        const left = await account.listSessions();
        await account.changePassword("correct horse battery", "a better password");
        const asked = await account.forgotPassword("anna@example.com").catch((e) => e.code);
        console.log(JSON.stringify({ edited, wrong, moved, sessions, left, asked }));
        """,
        tmp_path,
    )
    assert before["edited"]["preferences"] == {"theme": "dark", "language": "en"}
    assert before["wrong"] == {"currentPassword": ["This is not your password."]}
    assert before["moved"]["email"] == "anna@example.com"
    assert (len(before["sessions"]), len(before["left"])) == (2, 1)
    assert before["asked"] in ({}, "SMTP_URL_NOT_SET")

    words = ["user", "reset-password", "anna@example.com"]
    link = app.test_cli_runner().invoke(args=words).output.strip()
    after = node(
        COOKIES
        + f"const link = {json.dumps(link)};"
        + """
        const { api, logIn } = await import("./lib/api.js");
        const account = await import("./lib/account.js");
        await account.resetPassword("the best password", new URL(link).search);
        const user = await logIn({ email: "anna@example.com", password: "the best password" });
        await account.deleteAccount("the best password");
        const gone = await api("GET", "/me").catch(({ status, code }) => [status, code]);
        console.log(JSON.stringify({ user, gone }));
        """,
        tmp_path,
    )
    assert after["user"]["name"] == "Anna"
    assert after["gone"] == [401, "INVALID_TOKEN"]


@needs_node
def test_the_rewrites_keep_the_path_of_the_cookie(tmp_path):
    (tmp_path / "next.config.cjs").write_text(file_example("next.config.js"))

    rewrites = node(
        'import config from "./next.config.cjs"; console.log(JSON.stringify(await config.rewrites()));',
        tmp_path,
    )

    assert {rule["source"] for rule in rewrites} >= {"/auth/:path*", "/movies/:path*", "/me/:path*"}
    assert [rule["destination"] for rule in rewrites] == [
        f"http://{STATED_URL}{rule['source']}" for rule in rewrites
    ]


def test_the_two_commands_are_as_they_stand():
    first = examples("sh")[0].text.splitlines()

    assert re.fullmatch(r"git clone \S+/movies_api && cd movies_api && make run", first[0])
    assert first[1:] == ["make test"]


def test_every_make_target_there_is_is_told_and_every_one_told_is_there():
    targets = set(
        re.findall(r"^\.PHONY: ([a-z]+)", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    )
    told = set(re.findall(r"(?:`|^|&& |\d )make ([a-z]+)", TEXT, re.MULTILINE))

    assert told == targets - {"help", "prepared"}


def test_every_flask_command_told_is_there(app):
    told = set(re.findall(r"flask --app wsgi ([a-z]+(?: [a-z-]+)?)", TEXT))

    assert len(told) >= 4
    for command in told:
        result = app.test_cli_runner().invoke(args=[*command.split(), "--help"])
        assert result.exit_code == 0, command


def settings_there_are():
    """Return the default of each variable that something reads, as text; None where there is none."""
    settings = {field.metadata["variable"]: field.metadata["default"] for field in fields(Config)}
    server = (CHECKOUT / "gunicorn.conf.py").read_text()
    read = re.findall(r"environ\.get\(['\"](\w+)['\"][^)]*\)(?: or (\d+))?", server)
    return {**{name: default or None for name, default in read}, **settings}


def test_the_table_lists_every_setting_and_its_default():
    rows = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| ([^|]+) \|", TEXT, re.MULTILINE))
    codes = set(re.findall(r"^\| \d+ \| `([A-Z_]+)`", TEXT, re.MULTILINE))
    there_are = settings_there_are()

    assert rows.keys() - codes == there_are.keys()
    for name, default in there_are.items():
        assert rows[name].startswith("none" if default is None else f"`{default}`"), name


def test_the_example_of_the_environment_lists_every_setting_and_its_default():
    lines = (CHECKOUT / ".env.example").read_text().splitlines()
    assignments = [line for line in lines if re.match(r"#?[A-Z0-9_]+=", line)]

    stated = dict(line.removeprefix("#").split("=", 1) for line in assignments)
    there_are = {name: default or "" for name, default in settings_there_are().items()}
    compose = re.findall(r"\$\{([A-Z_]+)", (CHECKOUT / "compose.yaml").read_text())
    assert stated == {**dict.fromkeys(compose, ""), **there_are}
    assert all(line.startswith("#") for line in assignments), "a copy must change nothing"
    for number, line in enumerate(lines):
        if line in assignments:
            above = next(each for each in reversed(lines[:number]) if each not in assignments)
            assert above.startswith("# "), f"{line} is not explained"


def test_the_rate_limits_told_are_those_there_are():
    section = TEXT.split("## Rate limits")[1].split("\n## ")[0]
    columns = [re.split(r" *\| *", row) for row in section.splitlines() if row.startswith("| ")][1:]

    units = {"hour": ("hour", 1), "minute": ("minute", 1), "minutes": ("minute", 15)}

    def told(column):
        cells = [re.match(r"(\d+) \w+ (?:15 )?(hour|minutes?)", row[column]) for row in columns]
        return sorted((int(cell[1]), *units[cell[2]]) for cell in cells if cell)

    def there_are(limits):
        return sorted(
            (item.amount, item.GRANULARITY.name, item.multiples) for item in limits.values()
        )

    assert told(2) == there_are(ADDRESS)
    assert told(3) == there_are(ACCOUNT)


def test_every_error_is_explained():
    told = {
        (int(status), code)
        for status, code in re.findall(r"^\| (\d{3}) \| `([A-Z_]+)` \|", TEXT, re.MULTILINE)
    }

    codes = {code for _, messages in ANSWERS.values() for code in messages} | {
        code for code, _ in CODES.values()
    }
    assert {code for _, code in told} == codes - {"CONFLICT", "NOT_IMPLEMENTED"}
    assert {status for status, _ in told} == CODES.keys()


def test_every_dependency_has_a_reason():
    setup = ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    required = re.findall(r"^[\w-]+", setup["options"]["install_requires"], re.MULTILINE)
    section = TEXT.split("## What it depends on")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([a-z0-9-]+) \| ([^|]+) \| ([^|]+) \|$", section, re.MULTILINE)

    assert [name for name, _, _ in rows if name != "package"] == required


def test_the_house_is_described_file_by_file():
    section = TEXT.split("## The house")[1].split("\n## ")[0]
    told = set(re.findall(r"^(\S+) {2,}\S", section, re.MULTILINE))
    package = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "movies_api").rglob("*.py")}

    assert all((CHECKOUT / name).exists() for name in told)
    rooms = {
        name
        for name in package
        if name.startswith("movies_api/docs/") or name.endswith("/__init__.py")
    }
    assert package - rooms <= told


def test_addresses_in_the_readme_lead_somewhere():
    headings = {heading.strip() for heading in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)}

    assert {"A tour with curl", "In a frontend", "Settings", "Deployment", "Decisions"} <= headings
    for path in re.findall(r"`((?:docs|tests|bench|migrations|movies_api)/[\w./-]+)`", TEXT):
        assert (CHECKOUT / path).exists(), path
    assert sys.version_info >= (3, 11)
