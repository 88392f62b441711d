"""The documented client for browsers in a real Chromium."""

import json
from dataclasses import replace

import pytest

from ..browser import NO_BROWSER, Frontend, ScriptError, chromium, has_browser, serve
from ..examples import file_example
from ..servers import free_port, gunicorn

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not has_browser(), reason=NO_BROWSER)]

PAGE = """<!doctype html><title>A frontend</title><link rel="icon" href="data:,">
<script type="module">import * as client from "/lib/api.js"; window.client = client;</script>"""
ANN = {"name": "Ann Example", "email": "ann@example.com", "password": "correct horse battery"}


@pytest.fixture(scope="module")
def browser():
    """One Chromium for all tests of this file."""
    with chromium() as browser:
        yield browser


@pytest.fixture(autouse=True)
def clear_browser(browser):
    """Clear cookies, console and requests before each test."""
    browser.clear_cookies()
    browser.open("about:blank")
    browser.console()
    browser.requests()


@pytest.fixture(scope="module")
def port():
    """The port of the frontend."""
    return free_port()


def on_localhost(service):
    """Return the service addressed as localhost: browsers compare sites by host name."""
    return replace(service, url=service.url.replace("127.0.0.1", "localhost"))


@pytest.fixture(scope="module")
def running_api(migrated_app, database, port):
    """The real service, which allows the frontend's origin."""
    allowed = {"CORS_ORIGIN": f"http://localhost:{port}"}
    with gunicorn(database.url, **allowed) as service:
        yield on_localhost(service)


@pytest.fixture
def api(app, running_api):
    """The real service on an empty database."""
    return running_api


def frontend(port, api_url, **more):
    """Return a frontend with the README's client for the API at `api_url`."""
    client = ("text/javascript", file_example("lib/api.js", api_url))
    return Frontend(port, {"/": ("text/html", PAGE), "/lib/api.js": client}, **more)


@pytest.fixture
def page(browser, api, port):
    """The browser on a page of the frontend."""
    with serve(frontend(port, api.url)) as site:
        browser.open(site.url)
        yield browser


@pytest.fixture
def statuses(api):
    """A function that returns the statuses that this test has logged for a method and path."""
    before = len(api.log)

    def statuses(method, path):
        lines = [json.loads(line) for line in api.log[before:].split("\n") if line]
        return [
            line["status"]
            for line in lines
            if (line.get("method"), line.get("path")) == (method, path)
        ]

    return statuses


def test_readme_client_covers_login_and_movies(page, statuses):
    user = page.run("return client.signUp(args[0])", ANN)
    assert user["email"] == ANN["email"]
    page.run("await client.logOut()")
    assert (
        page.run(
            "return client.logIn(args[0])", {"email": ANN["email"], "password": ANN["password"]}
        )
        == user
    )

    movie = page.run(
        "return client.api('POST', '/movies', { title: 'Alien', year: '1979', imageUrl: '' })"
    )
    assert page.run("return client.api('GET', '/movies?search=alien')")["items"] == [movie]
    path = f"/movies/{movie['id']}"
    edited = page.run("return client.api('PATCH', args[0], { title: 'Aliens', year: 1986 })", path)
    assert (edited["title"], edited["year"], edited["imageUrl"]) == ("Aliens", "1986", None)
    assert page.run("return client.refresh()") == user
    assert page.run("return client.api('DELETE', args[0])", path) is None
    assert page.run("return client.api('GET', '/movies')")["meta"]["total"] == 0

    page.run("await client.logOut()")
    with pytest.raises(ScriptError, match="You are not logged in"):
        page.run("return client.api('GET', '/me')")
    assert statuses("OPTIONS", path), "no preflight request before PATCH and DELETE"
    assert statuses("POST", "/auth/refresh") == [200, 401]


def test_refresh_cookie_is_not_readable_by_scripts(page, api):
    page.run("await client.signUp(args[0])", ANN)
    page.open(f"{api.url}/auth/none")

    (cookie,) = page.cookies()
    assert (cookie["name"], cookie["path"], cookie["domain"]) == (
        "refreshToken",
        "/auth",
        "localhost",
    )
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, False, "Strict")
    assert page.run("return document.cookie") == ""


def test_response_headers_are_exposed_to_pages(page, api):
    page.run("await client.signUp(args[0])", ANN)
    headers = page.run(
        """
        const { accessToken } = await (await fetch(args[0] + "/auth/login", {
          method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(args[1]),
        })).json();
        const headers = { Authorization: `Bearer ${accessToken}`, "Content-Type": "application/json" };
        const added = await fetch(args[0] + "/movies", { method: "POST", headers, body: '{"title": "Alien"}' });
        const list = await fetch(args[0] + "/movies", { headers });
        return [...["ETag", "Location", "X-Request-ID"].map((name) => added.headers.get(name)), list.headers.get("Link")];
        """,
        api.url,
        {"email": ANN["email"], "password": ANN["password"]},
    )

    assert all(headers), headers


def test_reload_restores_login_from_cookie(page, statuses):
    user = page.run("return client.signUp(args[0])", ANN)
    page.reload()

    assert page.run("return client.api('GET', '/me')")["id"] == user["id"]
    assert statuses("GET", "/me") == [401, 200]
    assert statuses("POST", "/auth/refresh") == [200]


def test_concurrent_calls_with_expired_token_share_one_refresh(page, statuses, clock, make_client):
    user = page.run("return client.signUp(args[0])", ANN)
    clock.advance(hours=-1)
    old = make_client().log_in(ANN["email"]).token
    # Make the client use this token
    page.run(
        """
        const real = window.fetch;
        window.fetch = async () => Response.json({ user: args[1], accessToken: args[0] });
        await client.logIn({});
        window.fetch = real;
        """,
        old,
        user,
    )

    responses = page.run("return Promise.all([1, 2, 3].map(() => client.api('GET', '/me')))")

    assert [response["id"] for response in responses] == [user["id"]] * 3
    assert sorted(statuses("GET", "/me")) == [200, 200, 200, 401, 401, 401]
    assert statuses("POST", "/auth/refresh") == [200]


def test_client_error_has_readable_message(page):
    page.run("await client.signUp(args[0])", ANN)

    error = page.run(
        "const { status, code, message } = await client.signUp(args[0]).catch((error) => error);"
        "return { status, code, message };",
        ANN,
    )

    assert error == {
        "status": 409,
        "code": "USER_EXISTS",
        "message": "An account with this email address already exists. Log in, or use another address.",
    }


def test_page_of_disallowed_origin_is_blocked(browser, api, database):
    with serve(frontend(free_port(), api.url)) as site:
        browser.open(site.url)

        with pytest.raises(ScriptError, match="The service is unavailable"):
            browser.run("await client.signUp(args[0])", ANN)

    assert any("blocked by CORS policy" in line for line in browser.console())
    assert database.execute("SELECT count(*) FROM users") == [(0,)]


def test_cross_site_page_is_allowed_without_cookie(browser, app, database, port):
    other = f"http://127.0.0.1:{port}"
    with (
        gunicorn(database.url, workers=1, CORS_ORIGIN=other) as service,
        serve(frontend(port, on_localhost(service).url)),
    ):
        browser.open(other)

        user = browser.run("return client.signUp(args[0])", ANN)
        assert browser.run("return client.api('GET', '/me')")["id"] == user["id"]
        with pytest.raises(ScriptError, match="You are not logged in"):
            browser.run("await client.refresh()")


def test_rewrites_make_the_cookie_first_party(browser, app, database, port):
    paths = ("/auth/", "/me", "/movies")
    with (
        gunicorn(database.url, workers=1, CORS_ORIGIN="https://elsewhere.example.com") as service,
        serve(frontend(port, "", rewrites=paths, api=service.url)) as ours,
    ):
        browser.open(ours.url)
        user = browser.run("return client.signUp(args[0])", ANN)
        browser.reload()

        assert browser.run("return client.api('GET', '/me')")["id"] == user["id"]
        movie = browser.run("return client.api('POST', '/movies', { title: 'Alien' })")
        assert movie["title"] == "Alien"
        assert '"OPTIONS"' not in service.log
