"""README.md and docs/: examples run, listed names exist, generated parts are current."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from configparser import ConfigParser

import psycopg2
import pytest

from movies_api.api.error_docs import ERROR_RESPONSES
from movies_api.api.errors import CODES
from movies_api.auth.rate_limits import PER_ACCOUNT, PER_ACCOUNT_AND_NETWORK, PER_NETWORK
from movies_api.config import Config, ConfigError
from movies_api.config_docs import SERVER, documented_settings, env_example, settings_table

from ..examples import BLOCK, PAGES, SAMPLES, STATED_URL, examples, file_example, read
from ..helpers import ANN
from ..servers import CHECKOUT, SECRET_KEY

pytestmark = pytest.mark.slow

ALL_TEXT = "\n".join(map(read, PAGES))
SHELL_PAGES = ["README.md", "docs/api.md", "docs/images.md", "docs/import-export.md"]
needs_node = pytest.mark.skipif(
    not shutil.which("node"), reason="There is no node on PATH to run the frontend's code."
)


def steps_of(page):
    """Give (command, wanted output) of a page: a comment after a command, or a text block."""
    # zsh does not take comments at its prompt: the tour of the README has none to paste
    output = re.compile(r"```\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    text = output.sub(lambda found: re.sub("(?m)^", "# ", found[1].rstrip()) + "\n```", read(page))
    for block in BLOCK.finditer(text):
        if block[2] != "bash":
            continue
        for part in re.split(r"\n{2,}", textwrap.dedent(block[3]).strip()):
            lines = part.splitlines()
            wanted = [line.removeprefix("# ") for line in lines if line.startswith("# ")]
            yield "\n".join(line for line in lines if not line.startswith("# ")), "\n".join(wanted)


def pattern_of(wanted):
    """Return a regular expression for an expected output; an ellipsis matches anything."""
    return ".*".join(re.escape(part) for part in wanted.split("…"))


def run_shell(commands, service, folder):
    """Run commands in one shell against the service; return the output of each."""
    script = "\nprintf '\\0'\n".join(commands).replace(STATED_URL, service.url[len("http://") :])
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.replace(service.url[len("http://") :], STATED_URL).split("\0")


@pytest.mark.parametrize("page", SHELL_PAGES)
def test_shell_examples_print_expected_output(service, tmp_path, page):
    readme = [] if page == "README.md" else list(steps_of("README.md"))
    steps = list(steps_of(page))

    outputs = run_shell([command for command, _ in readme + steps], service, tmp_path)

    for (command, wanted), output in zip(steps, outputs[len(readme) :], strict=True):
        assert re.fullmatch(pattern_of(wanted), output.strip()), f"{command}\n{output}"


def test_example_languages_are_tested():
    tested = {"bash", "sh", "js", "ts", "python", "json", "env", "ini", "sql", "text"}

    assert {each.language for each in examples()} <= tested
    assert {each.page for each in examples("bash")} == set(SHELL_PAGES)


def test_pages_show_the_files_of_the_sample_frontends():
    shown = {
        named[1]: each.text
        for each in [*examples("js"), *examples("ts")]
        if (named := re.match(r"// (\S+)\n", each.text))
    }

    lib = {f"lib/{path.name}" for path in SAMPLES.glob("lib/*") if path.name != "schema.d.ts"}
    assert {name for name in shown if name.startswith("lib/")} == lib
    for name, text in shown.items():
        path = SAMPLES / name if name in lib else next(SAMPLES.glob(f"*/{name}"))
        assert text == path.read_text(encoding="utf-8"), f"{path} and the page differ"


@pytest.mark.parametrize("example", examples("sh"), ids=str)
def test_sh_examples_can_be_parsed(example):
    subprocess.run(["bash", "-n", "-c", example.text], check=True, timeout=10)


@pytest.mark.parametrize("example", examples("python"), ids=str)
def test_python_examples_can_be_parsed(example):
    ast.parse(example.text)


def test_route_and_setting_recipes_work(tmp_path):
    for folder in ("movies_api", "migrations"):
        shutil.copytree(CHECKOUT / folder, tmp_path / folder)
    *_, statement, view, setting, _ = [
        each.text for each in examples("python", "docs/architecture.md")
    ]
    with (tmp_path / "movies_api/movies/queries.py").open("a") as queries:
        queries.write(statement)
    with (tmp_path / "movies_api/movies/views.py").open("a") as views:
        views.write(
            "from ..api.errors import abort_with\nfrom .queries import latest_movie\n" + view
        )
    config = tmp_path / "movies_api/config.py"
    new = textwrap.indent(setting, "    ")
    config.write_text(re.sub(r"(?=    log_level: )", lambda _: new, config.read_text()))

    code = """
import flask_migrate
from movies_api import create_app
app = create_app()
with app.app_context():
    flask_migrate.upgrade("migrations")
alice = app.test_client()
body = {"name": "Alice", "email": "alice@example.com", "password": "correct horse battery"}
token = alice.post("/auth/signup", json=body).json["accessToken"]
headers = {"Authorization": f"Bearer {token}"}
statuses = [alice.get("/movies/latest", headers=headers).status_code]
alice.post("/movies", json={"title": "Alien"}, headers=headers)
title = alice.get("/movies/latest", headers=headers).json["title"]
statuses.append(alice.get("/movies/latest").status_code)
print(statuses, title, app.extensions["movies_api"].max_tags)
"""
    environment = {
        "INSTANCE_DIR": str(tmp_path / "instance"),
        "MAX_TAGS": "7",
        "LOG_LEVEL": "ERROR",
    }
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stdout.endswith("[404, 401] Alien 7\n"), result.stderr


def test_python_example_prints_the_collection(service, tmp_path):
    token = """curl -s localhost:3001/auth/tokens -H "Authorization: Bearer $TOKEN" \
        -H 'Content-Type: application/json' -d '{"name": "Script"}' """
    commands = [command for command, _ in steps_of("README.md")]
    response = json.loads(run_shell([*commands, token], service, tmp_path)[-1])
    (script,) = examples("python", "docs/api.md")

    result = subprocess.run(
        [sys.executable, "-c", script.text],
        env={**os.environ, "API": service.url, "API_TOKEN": response["token"]},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert result.stdout == "Amélie\t2001\n"


def node(code, folder):
    """Run a module with node and return what it prints as JSON."""
    (folder / "run.mjs").write_text(code)
    result = subprocess.run(
        ["node", "run.mjs"], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


# Emulate a browser: store the refresh cookie and send it to /auth only
COOKIES = """
const real = globalThis.fetch;
let cookie;
globalThis.fetch = async (request) => {
  const sent = request.credentials === "include" && new URL(request.url).pathname.startsWith("/auth/");
  const response = await real(request, sent && cookie ? { headers: [...request.headers, ["Cookie", cookie]] } : {});
  for (const set of response.headers.getSetCookie()) cookie = set.includes("Max-Age=0;") ? undefined : set.split(";")[0];
  return response;
};
"""


@needs_node
def test_client_example_works_in_node(service, tmp_path):
    (tmp_path / "lib").mkdir()
    client = file_example("lib/api.js", service.url)
    (tmp_path / "lib" / "api.js").write_text(client)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (use,) = [
        each.text for each in examples("js", "docs/frontend.md") if each.text.startswith("import")
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
        "Must not be empty.",
        "year: Must be a four-digit year, e.g. 1999.",
    ]
    assert result["list"]["items"] == [result["movie"]]
    assert result["after"] == [401, "MISSING_TOKEN"]


@needs_node
def test_the_client_stops_when_another_user_logs_in_in_another_tab(service, tmp_path):
    client = file_example("lib/api.js", service.url)
    (tmp_path / "api.mjs").write_text(client)
    for name in ("Ann", "Bob"):
        person = {**ANN, "name": name, "email": f"{name.lower()}@example.com"}
        assert service.request("POST", "/auth/signup", person).status == 201

    result = node(
        COOKIES
        + """
        const [tab, other] = [await import("./api.mjs"), await import("./api.mjs?other")];
        const password = "correct horse battery";
        const movie = { title: "Alien" };
        const failed = (error) => [error.status, error.code, error.message];
        const ann = await tab.logIn({ email: "ann@example.com", password });
        const same = (await tab.refresh()).id === ann.id;
        await other.logIn({ email: "bob@example.com", password });
        const whose = (await tab.api("POST", "/movies", movie)).ownerId === ann.id;
        // The token expires
        const cookies = globalThis.fetch;
        globalThis.fetch = async (request) =>
          request.url.endsWith("/movies") && request.method === "POST"
            ? new Response(JSON.stringify({ error: { code: "TOKEN_EXPIRED" } }), { status: 401 })
            : cookies(request);
        const stopped = [];
        for (let call = 0; call < 2; call++) stopped.push(await tab.api("POST", "/movies", movie).catch(failed));
        globalThis.fetch = cookies;
        const bobs = await other.api("GET", "/movies");
        console.log(JSON.stringify({ same, whose, stopped, bobs: bobs.items }));
        """,
        tmp_path,
    )

    stopped = [401, "OTHER_USER", "Another user has logged in. Please reload the page."]
    assert result == {"same": True, "whose": True, "stopped": [stopped] * 2, "bobs": []}


@needs_node
def test_an_edit_does_not_overwrite_another(service, tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/api.js").write_text(file_example("lib/api.js", service.url))
    (tmp_path / "lib/edit.js").write_text(file_example("lib/edit.js"))
    (tmp_path / "package.json").write_text('{"type": "module"}')

    result = node(
        COOKIES
        + f"""
        const {{ api, signUp }} = await import("./lib/api.js");
        const {{ openMovie, saveMovie }} = await import("./lib/edit.js");
        await signUp({json.dumps(ANN)});
        const {{ id }} = await api("POST", "/movies", {{ title: "Alien" }});
        const [mine, other] = [await openMovie(id), await openMovie(id)];
        await saveMovie(id, {{ year: 1986 }}, other.etag);
        const failed = await saveMovie(id, {{ title: "Aliens" }}, mine.etag).catch(({{ code }}) => code);
        const again = await openMovie(id);
        const saved = await saveMovie(id, {{ title: "Aliens" }}, again.etag);
        console.log(JSON.stringify([failed, saved.movie.title, saved.movie.year, saved.etag !== again.etag]));
        """,
        tmp_path,
    )

    assert result == ["PRECONDITION_FAILED", "Aliens", "1986", True]


@needs_node
def test_an_error_of_the_client_says_when_to_try_again(tmp_path):
    (tmp_path / "api.mjs").write_text(file_example("lib/api.js", "http://localhost:1"))

    result = node(
        """
        const { api } = await import("./api.mjs");
        const failed = ({ status, code, message, details, fields, retryAfter }) =>
          ({ status, code, message, details, fields, retryAfter });
        const error = { code: "RATE_LIMITED", message: "Please wait.", details: {} };
        const offline = await api("GET", "/movies").catch(failed);
        globalThis.fetch = async () =>
          new Response(JSON.stringify({ error }), { status: 429, headers: { "Retry-After": "30" } });
        console.log(JSON.stringify([offline, await api("GET", "/movies").catch(failed)]));
        """,
        tmp_path,
    )

    offline = "The service is unavailable. Please try again."
    assert result == [
        {"status": 0, "code": "UNKNOWN", "message": offline, "details": {}, "fields": []},
        {
            "status": 429,
            "code": "RATE_LIMITED",
            "message": "Please wait.",
            "details": {},
            "fields": [],
            "retryAfter": 30,
        },
    ]


@needs_node
def test_the_public_page_shows_the_movies_of_its_token(service, tmp_path, monkeypatch):
    (tmp_path / "share.mjs").write_text(file_example("lib/share.js"))
    user = service.request("POST", "/auth/signup", ANN).json["accessToken"]
    service.request("POST", "/movies", {"title": "Alien"}, token=user)
    body = {"name": "Page", "scope": "share"}
    token = service.request("POST", "/auth/tokens", body, token=user).json["token"]
    monkeypatch.setenv("API_URL", service.url)
    monkeypatch.setenv("SHARE_TOKEN", token)

    shown = node(
        """
        const { sharedMovies } = await import("./share.mjs");
        const missing = await sharedMovies("?colour=red").catch((error) => error.message);
        console.log(JSON.stringify([await sharedMovies(), missing]));
        """,
        tmp_path,
    )

    assert [movie["title"] for movie in shown[0]] == ["Alien"]
    assert shown[1] == "colour: Unknown parameter."


@needs_node
def test_account_example_works_in_node(service, app, tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/api.js").write_text(file_example("lib/api.js", service.url))
    (tmp_path / "lib/account.js").write_text(file_example("lib/account.js"))
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
    assert before["wrong"] == {"currentPassword": ["Incorrect password."]}
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
def test_rewrites_keep_the_cookie_path(tmp_path):
    (tmp_path / "next.config.mjs").write_text(file_example("next/next.config.js"))

    rewrites = node(
        'import config from "./next.config.mjs"; console.log(JSON.stringify(await config.rewrites()));',
        tmp_path,
    )

    assert {rule["source"] for rule in rewrites} == {
        *("/auth/:path*", "/movies/:path*", "/me/:path*", "/images/:path*"),
    }
    assert [rule["destination"] for rule in rewrites] == [
        f"http://{STATED_URL}{rule['source']}" for rule in rewrites
    ]


@needs_node
def test_the_texts_of_a_frontend_follow_the_codes_of_fields(alice, tmp_path):
    (tmp_path / "texts.mjs").write_text(file_example("lib/texts.js"))
    error = alice.post("/movies", json={"year": "79", "notes": "x" * 2001}).json["error"]

    shown = node(
        'import { translate } from "./texts.mjs";'
        f"console.log(JSON.stringify(translate({json.dumps(error)})));",
        tmp_path,
    )

    assert shown == {"title": "Bitte ausfüllen.", "year": "Ungültig.", "notes": "Zu lang."}


@needs_node
def test_the_image_loader_takes_thumbnails_of_own_images(tmp_path):
    (tmp_path / "loader.mjs").write_text(file_example("lib/image-loader.js"))

    own, other = f"https://api.example.com/images/{'0' * 64}", "https://example.com/alien.jpg"
    calls = [{"src": src, "width": width} for src in (own, other) for width in (100, 640, 1080)]
    shown = node(
        'import load from "./loader.mjs";'
        f"console.log(JSON.stringify({json.dumps(calls)}.map(load)));",
        tmp_path,
    )

    assert shown == [f"{own}?w=160", f"{own}?w=640", own, other, other, other]


@pytest.mark.parametrize("example", examples("json"), ids=str)
def test_json_examples_can_be_parsed(example):
    json.loads(example.text)


def test_log_line_example_has_current_keys(alice, lines):
    example, *_ = examples("json", "docs/operations.md")
    alice.get("/movies")

    assert lines()[-1].keys() == json.loads(example.text).keys()


def test_settings_example_is_valid_except_for_the_key(tmp_path):
    (example,) = examples("env")
    environment = dict(line.split("=", 1) for line in example.text.splitlines())
    environment["INSTANCE_DIR"] = str(tmp_path)

    with pytest.raises(ConfigError, match="SECRET_KEY"):
        Config.from_environ(environment)
    assert Config.from_environ({**environment, "SECRET_KEY": SECRET_KEY}).proxy_hops == 1


@pytest.mark.only_on("postgresql")
def test_sql_examples_are_valid(database):
    connection = psycopg2.connect(database.url)
    connection.autocommit = True  # CREATE DATABASE needs it
    cursor = connection.cursor()
    for example in examples("sql"):
        for statement in example.text.split(";")[:-1]:
            cursor.execute(statement)
    cursor.execute("DROP DATABASE movies")
    cursor.execute("DROP ROLE movies")
    connection.close()


def test_quick_start_takes_two_commands():
    first = examples("sh", "README.md")[0].text.splitlines()

    assert re.fullmatch(r"git clone \S+/movies_api && cd movies_api && make run", first[0])
    assert first[1:] == ["make test"]


def test_readme_is_short():
    assert len(read("README.md").splitlines()) <= 150
    assert len(read("README.md").encode()) <= 9000


def test_readme_lists_all_make_targets():
    makefile = (CHECKOUT / "Makefile").read_text()
    targets = set(re.findall(r"^\.PHONY: ([a-z]+)", makefile, re.MULTILINE))

    assert set(re.findall(r"^\| `make ([a-z]+)`", read("README.md"), re.MULTILINE)) == (
        targets - {"help", "prepared"}
    )
    assert set(re.findall(r"(?:`|^|&& |\d )make ([a-z]+)", ALL_TEXT, re.MULTILINE)) <= targets


def test_documented_flask_commands_exist(app):
    named = set(re.findall(r"flask --app wsgi ([a-z-]+(?: [a-z-]+)?)(?=[ `\n])", ALL_TEXT))

    assert len(named) > 6
    for command in named:
        words = [word for word in command.split() if not word.startswith("-")]
        result = app.test_cli_runner().invoke(args=[*words, "--help"])
        assert result.exit_code == 0, command


def test_every_setting_has_a_description():
    assert [each.variable for each in documented_settings() if not each.text] == []


def test_gunicorn_settings_are_documented():
    server = (CHECKOUT / "gunicorn.conf.py").read_text()
    read_by_server = re.findall(r"environ\.get\([\'\"](\w+)[\'\"]\)(?: or (\d+))", server)

    assert [(each.variable, each.default) for each in SERVER] == read_by_server


def test_generated_settings_are_current():
    page = read("docs/configuration.md")

    advice = "run `flask --app wsgi config-docs`"
    assert read(".env.example") == env_example(), advice
    assert page == settings_table(page), advice


def test_env_example_contains_compose_variables():
    needed = set(re.findall(r"\$\{([A-Z_]+)", (CHECKOUT / "compose.yaml").read_text()))

    assert needed <= set(re.findall(r"^#([A-Z0-9_]+)=", read(".env.example"), re.MULTILINE))


def test_documented_rate_limits_are_current():
    section = read("docs/api.md").split("## Rate limits")[1].split("\n## ")[0]
    columns = [re.split(r" *\| *", row) for row in section.splitlines() if row.startswith("| ")][1:]

    def wanted(column):
        cells = [re.match(r"(\d+) per (\d+ )?(hour|minute)", row[column]) for row in columns]
        return sorted((int(cell[1]), cell[3], int(cell[2] or 1)) for cell in cells if cell)

    def configured(limits):
        return sorted(
            (item.amount, item.GRANULARITY.name, item.multiples) for item in limits.values()
        )

    assert wanted(2) == configured(PER_NETWORK)
    assert wanted(3) == configured(PER_ACCOUNT_AND_NETWORK)
    assert wanted(4) == configured(PER_ACCOUNT)


def test_all_error_codes_are_documented():
    rows = re.findall(r"^\| (\d{3}) \| `([A-Z_]+)` \|", read("docs/api.md"), re.MULTILINE)
    codes = {code for _, messages in ERROR_RESPONSES.values() for code in messages} | {
        code for code, _ in CODES.values()
    }

    documented = {code for _, code in rows}
    assert codes <= documented
    assert documented - codes <= {"QUOTA_EXCEEDED"}
    assert {int(status) for status, _ in rows} == CODES.keys()


def test_every_dependency_has_a_reason():
    setup = ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    required = re.findall(r"^[\w-]+", setup["options"]["install_requires"], re.MULTILINE)
    rows = re.findall(
        r"^\| ([a-z0-9-]+) \| [^|]+ \| [^|]+ \|$", read("docs/dependencies.md"), re.MULTILINE
    )

    assert [name for name in rows if name != "package"] == required


def test_layout_lists_all_modules():
    layout = examples("text", "docs/architecture.md")[0].text
    lines = [line.split(maxsplit=1) for line in layout.splitlines()]
    named = {line[0]: set(re.findall(r"\w+", line[-1])) for line in lines}

    for path in (CHECKOUT / "movies_api").rglob("*.py"):
        folder, name = path.parent.name, path.name
        if name == "__init__.py" or folder == "docs":
            continue
        assert name in named if folder == "movies_api" else path.stem in named[f"{folder}/"], path


def test_documented_paths_and_names_exist():
    for path in re.findall(r"`((?:docs|tests|bench|migrations|movies_api)/[\w./-]+)`", ALL_TEXT):
        assert (CHECKOUT / path).exists(), path
    files = [*CHECKOUT.glob("movies_api/**/*.py"), *CHECKOUT.glob("migrations/**/*.py")]
    code = "\n".join(path.read_text() for path in files)
    for name in re.findall(r"`@?(?:\w+\.)?([a-z]\w*_\w+)`", read("docs/architecture.md")):
        assert re.search(rf"\b{name}\b", code), name


def anchors(page):
    """Return the anchors that GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", read(page)), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_are_valid(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", read(page))):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        file = ((CHECKOUT / page).parent / path).resolve() if path else CHECKOUT / page
        assert file.exists(), target
        assert not anchor or anchor in anchors(str(file.relative_to(CHECKOUT))), target


@pytest.mark.parametrize("page", [*PAGES, ".env.example"])
def test_documents_use_plain_language(page):
    words = r"\b(pictures?|anew|refuse[sd]?|whoever|somebody|nobody|away|any more)\b"

    assert re.findall(words, read(page), re.IGNORECASE) == []
