"""A page in a real Chromium picks an export and an image by their names, and shows what came of it."""

import json
from pathlib import Path

import pytest

from ..browser import NO_BROWSER, Frontend, chromium, has_browser, serve
from ..helpers import ANN
from ..servers import free_port, gunicorn

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not has_browser(), reason=NO_BROWSER)]

CASES = Path(__file__).parent / "cases"
PAGE = """<!doctype html><title>Import</title><link rel="icon" href="data:,">
<h1>Import</h1><input type="file"><p id="counts"></p><table id="rows"></table><p><img id="poster"></p>
<script>
const call = async (path, body, headers) => {
  const response = await fetch(API + path, { method: "POST", body, headers });
  const result = await response.json();
  if (!response.ok) throw new Error(result.error.message);
  return result;
};
const json = { "Content-Type": "application/json" };
const picked = () => document.querySelector("input").files[0];
let bearer;
window.signUp = async (user) => {
  const { accessToken } = await call("/auth/signup", JSON.stringify(user), json);
  bearer = { Authorization: `Bearer ${accessToken}` };
};
window.importFile = async () => {
  const form = new FormData();
  form.append("file", picked());
  const report = await call("/movies/import", form, bearer);
  document.getElementById("counts").textContent =
    `${report.format}: ${report.counts.added} added, ${report.counts.rejected} rejected`;
  for (const { file, line, action, reason } of report.rows) {
    const row = document.getElementById("rows").insertRow();
    for (const text of [file, line, action, reason ?? ""]) row.insertCell().textContent = text;
  }
  return document.body.innerText;
};
window.addPoster = async () => {
  const reader = new FileReader();
  const read = new Promise((resolve) => (reader.onload = resolve));
  reader.readAsDataURL(picked());
  await read;
  const body = JSON.stringify({ title: "Alien", imageUrl: reader.result });
  const movie = await call("/movies", body, { ...json, ...bearer });
  const image = document.getElementById("poster");
  image.src = movie.imageUrl;
  await image.decode();
  return { declared: picked().type, width: image.naturalWidth };
};
</script>"""


def test_a_page_shows_the_report_of_a_zip_and_a_renamed_image(app, database, tmp_path):
    port = free_port()
    with (
        gunicorn(database.url, workers=1, CORS_ORIGIN=f"http://localhost:{port}") as service,
        chromium() as browser,
    ):
        api = json.dumps(service.url.replace("127.0.0.1", "localhost"))
        page = PAGE.replace("<script>", f"<script>const API = {api};")
        with serve(Frontend(port, {"/": ("text/html", page)})) as frontend:
            browser.open(frontend.url)
            browser.console()
            browser.run("return window.signUp(args[0])", ANN)
            browser.pick_file(CASES / "letterboxd-export.zip")

            shown = browser.run("return window.importFile()")

            assert "letterboxd: 1 added, 0 rejected" in shown
            assert "watched.csv\t2\tadded" in shown
            browser.pick_file(CASES / "poster_webp_named.jpg")
            poster = browser.run("return window.addPoster()")
            assert poster == {"declared": "image/jpeg", "width": 64}
            assert browser.console() == []
            (tmp_path / "import.png").write_bytes(browser.screenshot())
