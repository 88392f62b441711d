"""The sample frontends in examples/, built and driven in Chromium against the service: `make examples` runs this."""

import os
import re
import signal
import subprocess
from contextlib import contextmanager

import pytest
from PIL import Image
from selenium.common import StaleElementReferenceException, TimeoutException
from selenium.webdriver.support.wait import WebDriverWait

from .browser import NO_BROWSER, chromium, has_browser
from .client import PASSWORD
from .examples import SAMPLES
from .helpers import ANN
from .servers import free_port, gunicorn, wait_until

pytestmark = [
    pytest.mark.skipif(not has_browser(), reason=NO_BROWSER),
    pytest.mark.skipif(not (SAMPLES / "node_modules").exists(), reason="Run make examples."),
]

# The folder, the command that builds, and the one that serves; Next.js forwards to the API, the Vite app calls it
APPS = {
    "next": ("next", "npx next build", "npx next start --port {port}"),
    "next-dev": ("next", "true", "npx next dev --port {port}"),
    "vite": ("vite", "npx vite build", "npx vite preview --port {port}"),
    "vite-dev": ("vite", "true", "npx vite --port {port}"),
}
BOB = {**ANN, "name": "Bob", "email": "bob@example.com"}


class Page:
    """The tab of a user of a sample frontend, addressed by the texts that the user sees."""

    def __init__(self, browser, url, api):
        self.browser, self.driver, self.url, self.api = browser, browser.driver, url, api

    def wait(self, find):
        """Wait until `find` returns something true, and return it."""
        waiting = WebDriverWait(
            self.driver, 30, 0.05, ignored_exceptions=[StaleElementReferenceException]
        )
        try:
            return waiting.until(lambda _: find())
        except TimeoutException:
            shown = self.driver.find_element("tag name", "body").text
            pytest.fail(f"{shown}\n{self.browser.console()}")

    def find(self, path):
        """Return the element at an XPath when it is there."""
        return self.wait(lambda: next(iter(self.driver.find_elements("xpath", path)), None))

    def press(self, text):
        """Click a button."""
        self.find(f"//button[normalize-space()='{text}']").click()

    def fill(self, **fields):
        """Type into, or choose a file in, the inputs with these labels."""
        for label, text in fields.items():
            path = f"//label[starts-with(normalize-space(), '{label.replace('_', ' ')}')]//input"
            field = self.find(path)
            if field.get_attribute("type") != "file":
                field.clear()
            field.send_keys(str(text))

    def shows(self, text):
        """Wait until the page shows a text."""
        self.wait(lambda: text in self.driver.find_element("tag name", "body").text)

    def titles(self, *wanted):
        """Wait until the list has these titles."""
        read = "return [...document.querySelectorAll('li strong')].map((each) => each.textContent)"
        self.wait(lambda: self.driver.execute_script(read) == list(wanted))

    def image(self):
        """Return the URL of the list's first image when it has loaded."""
        script = """const image = document.querySelector("li img");
            return image?.complete && image.naturalWidth > 0 && image.currentSrc"""
        return self.wait(lambda: self.driver.execute_script(script))

    def sign_up(self, user):
        """Create an account."""
        self.press("Create an account")
        self.fill(Name=user["name"], Email=user["email"], Password=PASSWORD)
        self.press("Sign up")
        self.press_is_possible("Log out")

    def press_is_possible(self, text):
        """Wait until there is a button."""
        self.find(f"//button[normalize-space()='{text}']")

    def shoot(self, folder, name):
        """Save screenshots as a desktop and a phone show the page."""
        for device, width in (("phone", 400), ("desktop", 1200)):
            self.driver.set_window_size(width, 1000)
            (folder / f"{name}-{device}.png").write_bytes(self.browser.screenshot())

    def send_expired_token(self, token):
        """Let the next request carry an expired access token."""
        self.driver.execute_script(
            """const real = window.fetch;
            window.fetch = (request) => {
              window.fetch = real;
              request.headers.set("Authorization", `Bearer ${arguments[0]}`);
              return real(request);
            };""",
            token,
        )


@contextmanager
def running(app, port, **environment):
    """Build and serve a sample frontend; yield its URL."""
    folder, build, serve = APPS[app]
    options = {
        "cwd": SAMPLES / folder,
        "env": {**os.environ, "NEXT_TELEMETRY_DISABLED": "1", **environment},
        "stderr": subprocess.STDOUT,
    }
    built = subprocess.run(
        build.split(), stdout=subprocess.PIPE, text=True, timeout=300, check=False, **options
    )
    assert built.returncode == 0, built.stdout
    log = SAMPLES / folder / "server.log"
    with log.open("wb") as output:
        command = serve.format(port=port).split()
        process = subprocess.Popen(command, stdout=output, start_new_session=True, **options)
    try:
        wait_until(lambda: re.search(r"Ready|Local:", log.read_text()), process, log, 120)
        yield f"http://localhost:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
        log.unlink()


@pytest.fixture(params=[name for name, (folder, *_) in APPS.items() if (SAMPLES / folder).exists()])
def frontend(request, app, database, alice):
    """The URL of a sample frontend and that of its API; a public page shows the movies of Alice."""
    alice.post("/movies", json={"title": "Solaris", "notes": "private"})
    token = alice.post("/auth/tokens", json={"name": "Page", "scope": "share"}).json["token"]
    port = free_port()
    own = {"CORS_ORIGIN": f"http://localhost:{port}", "PROXY_HOPS": "1"}
    with gunicorn(database.url, **own) as service:
        api = service.url.replace("127.0.0.1", "localhost")  # the same site as the frontend
        urls = {"API_URL": api, "VITE_API_URL": api, "SHARE_TOKEN": token}
        with running(request.param, port, **urls) as url:
            yield url, api if request.param.startswith("vite") else url


@pytest.fixture
def page(frontend, tmp_path):
    """A browser at the frontend that saves downloads in the folder of the test."""
    with chromium() as browser:
        page = Page(browser, *frontend)
        allowed = {"behavior": "allow", "downloadPath": str(tmp_path)}
        page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", allowed)
        browser.open(page.url)
        yield page


def test_a_visitor_uses_the_sample_frontend(page, tmp_path, clock, make_client):
    # Signing up; an error is shown as the service words it
    page.press("Create an account")
    page.press("Log in instead")
    page.fill(Email=ANN["email"], Password="wrong")
    page.press("Log in")
    page.shows("Wrong email or password.")
    page.shoot(tmp_path, "login")
    page.sign_up(ANN)

    # The message for a field is beside it
    page.press("Add")
    page.find("//label[starts-with(normalize-space(), 'Title')]/small[.='Must not be empty.']")

    # Adding a movie with a picked file
    poster = tmp_path / "poster.jpg"
    Image.effect_noise((1200, 1800), 60).convert("RGB").save(poster, quality=95)
    page.driver.execute_script(
        """new MutationObserver(() => {
          window.seen ??= document.querySelector("progress[aria-label=Upload]")?.value;
        }).observe(document.body, { childList: true, subtree: true });"""
    )
    page.fill(Title="Alien", Year="1979", Poster=poster)
    page.press("Add")
    page.titles("Alien")
    assert re.fullmatch(rf"{page.api}/images/[0-9a-f]{{64}}\?w=(160|320|640)", page.image())
    assert page.driver.execute_script("return window.seen") >= 0

    # A reload, and a request with an expired token, continue the session
    page.browser.reload()
    page.titles("Alien")
    clock.advance(hours=-1)
    old = make_client().log_in(ANN["email"]).token
    clock.advance(hours=1)
    page.send_expired_token(old)
    page.fill(Title="Aliens")
    page.press("Add")
    page.titles("Aliens", "Alien")
    page.image()

    page.shoot(tmp_path, "movies")

    # Importing a file that is larger than what Next.js forwards by default, and downloading
    rows = [f"Film {number},1999,{'x' * 120_000}\n" for number in range(100)]
    films = tmp_path / "films.csv"
    films.write_text("".join(["title,year,plot\n", *rows]))
    page.fill(Import_a_file=films)
    page.shows("100 added, 0 skipped, 0 rejected")
    page.titles(*(f"Film {number}" for number in range(20)))
    page.send_expired_token(old)
    page.press("Show more")
    page.titles(*(f"Film {number}" for number in range(40)))
    page.press("Download")
    page.wait((tmp_path / "movies.csv").exists)
    assert len((tmp_path / "movies.csv").read_text().splitlines()) == 103

    # The page that everyone may see
    if page.driver.find_elements("link text", "Public page"):
        page.find("//a[text()='Public page']").click()
        page.titles("Solaris")
        assert "private" not in page.driver.page_source
        page.shoot(tmp_path, "public")
        page.browser.open(page.url)

    # Another user logs in in a second tab
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    page.browser.open(page.url)
    page.press("Log out")
    page.sign_up(BOB)
    second = page.driver.current_window_handle
    page.driver.switch_to.window(first)
    page.send_expired_token(old)
    page.fill(Title="Of whom?")
    page.press("Add")
    page.shows("Another user has logged in. Please reload the page.")
    page.driver.switch_to.window(second)
    page.fill(Title="Brazil")
    page.press("Add")
    page.titles("Brazil")
    page.press("Delete")
    page.titles()

    # Logging out ends the session in both tabs
    page.press("Log out")
    page.press_is_possible("Log in")
    page.driver.switch_to.window(first)
    page.browser.reload()
    page.press_is_possible("Log in")

    # No error, except that the browser reports each 400 and 401
    log = [each for each in page.driver.get_log("browser") if each["level"] == "SEVERE"]
    assert [each for each in log if not re.search("40[01]", each["message"])] == []
