"""The page /docs in a real Chromium."""

import json
import re
from io import BytesIO
from urllib.parse import parse_qsl, urlsplit

import pytest
from PIL import Image

from movies_api.auth.schemas import ANN, DEMO
from movies_api.demo import add_demo_data

from ..browser import NO_BROWSER, chromium, has_browser
from ..conftest import MAIL, app_for, config_for, migrate
from ..servers import gunicorn, mail_server

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not has_browser(), reason=NO_BROWSER)]

UNTIL = """const until = async (find) => {
  for (let found; ; await new Promise((wake) => setTimeout(wake, 20))) if ((found = find())) return found;
};"""
OPEN = """
const block = await until(() => document.querySelector(`#operations-${args[0]}`));
const inside = (selector) => until(() => block.querySelector(selector));
(await inside(".opblock-summary-control")).click();
(await inside(".try-out__btn")).click();
await inside(".execute");
for (const [name, text] of Object.entries(args[1])) {
  const field = await inside(name === "body" ? "textarea" : `[data-param-name="${name}"] input`);
  Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), "value").set.call(field, text);
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.dispatchEvent(new Event("focusout", { bubbles: true }));
}
return [...block.querySelectorAll("input:not([type=file]), textarea")].map((field) => field.value);"""
EXECUTE = """
const block = document.querySelector(`#operations-${args[0]}`);
const inside = (selector) => until(() => block.querySelector(selector));
(await inside(".execute")).click();
const status = (await inside(".live-responses-table tbody .response-col_status")).innerText;
const text = block.querySelector(".live-responses-table code.language-json")?.textContent;
const image = block.querySelector(".live-responses-table img");
if (image) await until(() => image.complete);
block.querySelector(".opblock-summary-control").click();
return [status, image ? [image.naturalWidth, image.naturalHeight] : text && JSON.parse(text)];"""
AUTHORIZE = """
const inside = (selector) => until(() => document.querySelector(selector));
(await inside(".btn.authorize")).click();
(await inside(".auth-container .btn")).click(); // forgets the token of the login
const field = await inside("#auth-bearer-value");
Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(field, args[0]);
field.dispatchEvent(new Event("input", { bubbles: true }));
document.querySelector(".auth-container .btn.authorize").click();
await until(() => !document.querySelector("#auth-bearer-value"));
document.querySelector(".close-modal").click();"""


@pytest.fixture(scope="module")
def browser():
    """One Chromium for all tests of this file."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def mailbox():
    """A mail server."""
    with mail_server() as mailbox:
        yield mailbox


@pytest.fixture(scope="module")
def api(mailbox, tmp_path_factory):
    """The service with the demo data, whose account is an admin."""
    folder = tmp_path_factory.mktemp("demo")
    url = f"sqlite:///{folder / 'demo.db'}"
    app = app_for(config_for(url, folder))
    migrate(app)
    with app.app_context():
        add_demo_data()
    app.test_cli_runner().invoke(args=["user", "promote", DEMO["email"]])
    with gunicorn(url, workers=1, SMTP_URL=mailbox.url, **MAIL) as service:
        yield service


@pytest.fixture
def page(browser, api):
    """The browser on the page, to which / leads."""
    browser.open(api.url)
    assert browser.driver.current_url == f"{api.url}/docs"
    yield browser
    assert browser.console() == []


@pytest.fixture
def operations(api):
    """The operations of the document, as the page names them."""
    paths = api.request("GET", "/openapi.json").json["paths"].values()
    found = [each for path in paths for name, each in path.items() if name != "parameters"]
    return sorted(f"{each['tags'][0]}-{each['operationId']}" for each in found)


def test_page_shows_all_operations_without_external_requests(page, api, operations):
    shown = page.run(
        UNTIL + "await until(() => document.querySelector('.opblock'));"
        "return [...document.querySelectorAll('.opblock')].map((block) => block.id);"
    )

    assert sorted(shown) == [f"operations-{each}" for each in operations]
    own = (f"{api.url}/", "chrome:", "about:")
    assert [url for url in page.requests() if not url.startswith(own)] == []


def test_page_needs_less_than_500_kb(api):
    paths = re.findall(r'(?:src|href)="([^"]+)"', api.request("GET", "/docs").body.decode())
    headers = {"Accept-Encoding": "gzip"}

    sizes = {path: len(api.request("GET", f"/{path}", headers=headers).body) for path in paths}

    assert {"docs/docs.js", "docs/swagger-ui-bundle.js", "openapi.json"} <= sizes.keys()
    assert sum(sizes.values()) < 500_000


def test_page_fits_on_a_phone(page):
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page.run(UNTIL + OPEN, "import_export-importMovies", {})
        assert page.run("return document.documentElement.scrollWidth") == 390
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_every_operation_succeeds_when_tried_out(page, api, operations, mailbox, tmp_path):
    tried = []

    def try_out(operation, status, file=None, **changes):
        prefilled = page.run(UNTIL + OPEN, operation, changes)
        assert not any('"string"' in text or "additionalProp" in text for text in prefilled)
        if file:
            page.pick_file(file)
        shown, body = page.run(UNTIL + EXECUTE, operation)
        assert (operation, shown) == (operation, str(status)), body  # else followed by Undocumented
        tried.append(operation)
        return body

    def token_from_mail(path):
        while not (found := re.search(rf"/{path}\?token=(\S+)", mailbox.next()[1].get_content())):
            pass
        return found[1]

    token = try_out("auth-logIn", 200)["accessToken"]
    page.run(UNTIL + AUTHORIZE, token)
    assert try_out("account-getAccount", 200)["email"] == DEMO["email"]
    try_out("auth-refreshSession", 200)
    try_out("account-updateAccount", 200)
    try_out("admin-getStats", 200)
    session = try_out("sessions-createToken", 201)["id"]
    assert len(try_out("sessions-listSessions", 200)["items"]) == 2
    try_out("sessions-endSession", 204, session_id=session)

    try_out("movies-createMovie", 201)
    assert try_out("movies-listMovies", 200)["meta"]["total"] == 4
    assert try_out("movies-getMovie", 200)["title"] == "Spirited Away"
    assert try_out("movies-updateMovieByPut", 200)["title"] == "Aliens"
    try_out("movies-updateMovieByPatch", 200)
    try_out("movies-getMovieStats", 200)
    films = tmp_path / "films.csv"
    films.write_text("title\nBrazil\n")
    assert try_out("import_export-importMovies", 200, films)["counts"]["added"] == 1
    try_out("import_export-exportMovies", 200)
    try_out("movies-deleteMovie", 204)
    try_out("movies-deleteMovies", 204)

    poster, out = tmp_path / "poster.jpg", BytesIO()
    Image.new("RGB", (400, 600), "red").save(out, "JPEG")
    poster.write_bytes(out.getvalue().ljust(245_760, b"\0"))  # as large as in the example
    address = urlsplit(try_out("images-requestUpload", 201)["uploadUrl"])
    target = {"name": address.path.rsplit("/", 1)[1], **dict(parse_qsl(address.query))}
    url = try_out("images-uploadImage", 201, poster, **target)["imageUrl"]
    assert try_out("images-getImage", 200, name=url.rsplit("/", 1)[1]) == [400, 600]
    try_out("service-getHealth", 200)
    try_out("service-getReadiness", 200)
    try_out("auth-logOut", 204)

    # What cannot be undone is tried with the account of the examples
    try_out("auth-signUp", 201)
    try_out("account-changePassword", 204)
    try_out("account-deleteAccount", 204)

    # The tokens of emails
    token = api.request("POST", "/auth/signup", ANN).json["accessToken"]
    changes = {"email": "new@example.com", "currentPassword": ANN["password"]}
    assert api.request("PATCH", "/me", changes, token).status == 200
    revert = json.dumps({"token": token_from_mail("revert-email")})
    try_out("account-revertEmailChange", 204, body=revert)
    try_out("account-requestReset", 202)
    reset = {"token": token_from_mail("reset-password"), "newPassword": ANN["password"]}
    try_out("account-confirmReset", 204, body=json.dumps(reset))

    assert sorted(tried) == operations
