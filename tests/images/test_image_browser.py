"""A page in Chromium sends an image as a data URL or to an upload URL, and displays it."""

from io import BytesIO

import boto3
import pytest
from PIL import Image, ImageDraw

from ..browser import NO_BROWSER, Frontend, chromium, has_browser, serve
from ..examples import file_example
from ..servers import free_port, gunicorn, s3

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not has_browser(), reason=NO_BROWSER)]

ANN = {"name": "Ann Example", "email": "ann@example.com", "password": "correct horse battery"}
KEYS = {"AWS_ACCESS_KEY_ID": "an id", "AWS_SECRET_ACCESS_KEY": "a secret"}
PAGE = """<!doctype html><title>Posters</title><link rel="icon" href="data:,">
<h1>Posters</h1><input type="file" id="file"><p id="message"></p><p><img id="whole"></p><p><img id="small"></p>
<script type="module">
import * as client from "/lib/api.js";
import { uploadImage } from "/lib/images.js";
const toDataUrl = (file) => new Promise((resolve) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result);
  reader.readAsDataURL(file);
});
const loaded = (id, url) => new Promise((resolve, reject) => {
  const image = document.getElementById(id);
  image.onload = () => resolve([image.naturalWidth, image.naturalHeight]);
  image.onerror = () => reject(new Error(`${url} does not load`));
  image.src = url;
});
window.client = client;
window.post = async (way) => {
  const [file] = document.getElementById("file").files;
  const steps = [];
  const sent = way === "data URL" ? await toDataUrl(file) : await uploadImage(file, (part) => steps.push(part));
  const movie = await client.api("POST", "/movies", { title: "Alien", year: "1979", imageUrl: sent });
  document.getElementById("message").textContent = `${way}: ${movie.imageUrl}`;
  const whole = await loaded("whole", movie.imageUrl);
  const small = await loaded("small", `${movie.imageUrl}?w=160`);
  return { movie, steps, whole, small };
};
</script>"""


@pytest.fixture(scope="module")
def browser():
    """A Chromium for all tests of this file."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def port():
    """The port of the frontend."""
    return free_port()


@pytest.fixture
def poster(tmp_path):
    """An image file that is larger than the limit of other bodies."""
    image = Image.effect_noise((900, 600), 60).convert("RGB")
    ImageDraw.Draw(image).ellipse((150, 50, 750, 550), fill=(200, 30, 60))
    out = BytesIO()
    image.save(out, "JPEG", quality=95)
    assert len(out.getvalue()) > 100_000
    path = tmp_path / "poster.jpg"
    path.write_bytes(out.getvalue())
    return path


@pytest.fixture(params=["folder", "bucket"])
def storage(request):
    """The settings of one kind of storage."""
    if request.param == "folder":
        yield {}
        return
    with s3() as endpoint:
        keys = {"aws_access_key_id": "an id", "aws_secret_access_key": "a secret"}
        boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys).create_bucket(
            Bucket="films"
        )
        yield {"S3_BUCKET": "films", "S3_ENDPOINT_URL": endpoint, "S3_REGION": "us-east-1", **KEYS}


@pytest.fixture
def page(browser, app, database, storage, port):
    """The browser with the page open and a user logged in."""
    with gunicorn(
        database.url, workers=1, CORS_ORIGIN=f"http://localhost:{port}", **storage
    ) as service:
        api = service.url.replace("127.0.0.1", "localhost")
        files = {
            f"/lib/{name}": (
                "text/javascript",
                file_example(f"lib/{name}", api * (name == "api.js")),
            )
            for name in ("api.js", "images.js", "upload.js")
        }
        files["/"] = ("text/html", PAGE)
        with serve(Frontend(port, files)) as frontend:
            browser.open(frontend.url)
            browser.console()
            browser.run("return client.signUp(args[0])", ANN)
            yield browser


@pytest.mark.parametrize("way", ["data URL", "upload URL"])
def test_page_displays_the_chosen_image(page, poster, way, tmp_path):
    page.pick_file(poster)

    result = page.run("return window.post(args[0])", way)

    assert result["whole"] == [900, 600]
    assert result["small"] == [160, 107]
    assert result["movie"]["imageUrl"].startswith("http://localhost:")
    assert (way == "data URL") == (result["steps"] == [])
    assert result["steps"][-1:] in ([], [1])
    assert page.console() == []
    shot = page.screenshot()
    (tmp_path / "shown.png").write_bytes(shot)
    with Image.open(BytesIO(shot)) as seen:
        red = sum(
            1
            for r, g, b in seen.convert("RGB").resize((120, 160)).get_flattened_data()
            if r > 160 and g < 80 and b < 110
        )
    assert red > 800, "the ellipse is on the screen"


def test_page_receives_the_error_message(page, tmp_path):
    path = tmp_path / "poster.png"
    path.write_bytes(b"<html><script>alert(1)</script></html>")
    page.pick_file(path)

    message = page.run("return window.post('data URL').catch((error) => error.message)")

    assert message.startswith("imageUrl: ")
