"""Pictures in a bucket: a real HTTP server that speaks S3."""

import json
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from flask.cli import FlaskGroup
from requests import Request

from movies_api.config import Config, ConfigError
from movies_api.db import db
from movies_api.images.codec import decode_slot
from movies_api.images.storage import Bucket

from ..client import PASSWORD
from ..conftest import app_for, config_for
from ..image_helpers import data_url, make_image, open_image, path_of, request_upload
from ..servers import s3

pytestmark = pytest.mark.slow

BUCKET = "movies-api-tests"
KEYS = {
    "AWS_ACCESS_KEY_ID": "an id",
    "AWS_SECRET_ACCESS_KEY": "a secret",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(scope="module")
def endpoint():
    """A store that speaks S3."""
    with s3() as url:
        yield url


@pytest.fixture
def store(endpoint, monkeypatch):
    """A client of the store, with an empty bucket."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    for each in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        client.delete_object(Bucket=BUCKET, Key=each["Key"])
    return client


@pytest.fixture
def names(store):
    """A function that names the objects in the bucket."""
    return lambda: sorted(
        each["Key"] for each in store.list_objects_v2(Bucket=BUCKET).get("Contents", ())
    )


@pytest.fixture
def make_app(migrated_app, database, store, endpoint, tmp_path):
    """A function that gives an app on an empty database that keeps pictures in the bucket."""
    apps = []

    def make_app(**variables):
        database.clear()
        bucket = {"S3_BUCKET": BUCKET, "S3_ENDPOINT_URL": endpoint, "S3_REGION": "us-east-1"}
        apps.append(app_for(config_for(database.url, tmp_path, **{**bucket, **variables})))
        return apps[-1]

    yield make_app
    for app in apps:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def app(make_app):
    """The app, which keeps its pictures in the bucket."""
    return make_app()


def upload(permission, data):
    """Upload as a browser does and return the status."""
    if permission["method"] == "POST":
        form = Request(
            "POST", permission["uploadUrl"], data=permission["fields"], files={"file": data}
        )
        sent = form.prepare()
        body, headers = sent.body, sent.headers
    else:
        body, headers = data, permission["headers"]
    address = urlsplit(permission["uploadUrl"])
    connection = HTTPConnection(address.hostname, address.port, timeout=30)
    try:
        connection.request(
            permission["method"], f"{address.path}?{address.query}", body, dict(headers)
        )
        return connection.getresponse().status
    finally:
        connection.close()


def remove_bucket(store, names):
    """Take the bucket away; the next test makes it anew."""
    for name in names():
        store.delete_object(Bucket=BUCKET, Key=name)
    store.delete_bucket(Bucket=BUCKET)


def add(person, url):
    return person.post("/movies", json={"title": "Alien", "imageUrl": url})


def test_keeps_shows_and_shrinks(alice, client, names):
    response = add(alice, data_url(make_image("JPEG", (1000, 500)), "image/jpeg"))

    assert response.status_code == 201
    path = path_of(response.json["imageUrl"])
    assert names() == [path[1:]]
    shown = client.get(path)
    assert (shown.status_code, shown.mimetype) == (200, "image/jpeg")
    assert shown.content_length == len(shown.data)
    assert open_image(shown.data).size == (1000, 500)
    part = client.get(path, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.data) == (206, shown.data[100:200])
    assert client.get(path, headers={"If-None-Match": shown.headers["ETag"]}).status_code == 304
    assert client.get(path, headers={"Range": "bytes=9999999-"}).status_code == 416
    for _ in range(2):
        small = client.get(f"{path}?w=320")
        assert open_image(small.data).size == (320, 160)
    assert names() == [path[1:], f"{path[1:]}-320.webp"]


def test_says_how_the_bucket_is_to_hand_it_out(alice, store, names):
    add(alice, data_url(make_image()))

    about = store.head_object(Bucket=BUCKET, Key=names()[0])
    assert about["ContentType"] == "image/png"
    assert about["CacheControl"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("how", ["post", "put"])
def test_an_upload_goes_past_us_and_is_verified_when_a_movie_shows_it(make_app, names, how):
    app = make_app(S3_UPLOAD=how)
    alice = app.test_client().sign_up("Alice")
    permission = request_upload(alice, make_image())
    assert names() == []

    assert upload(permission, make_image()) < 300

    [waiting] = names()
    assert waiting.startswith("uploads/")
    assert alice.get(path_of(permission["imageUrl"])).status_code == 404, "nobody has looked at it"
    movie = add(alice, permission["imageUrl"])
    assert movie.status_code == 201
    assert names() == [path_of(movie.json["imageUrl"])[1:]]
    assert open_image(alice.get(path_of(movie.json["imageUrl"])).data).format == "PNG"
    found = alice.get(path_of(permission["imageUrl"]))
    key = movie.json["imageUrl"].rpartition("/")[2]
    assert (found.status_code, found.headers["Location"]) == (302, key)
    assert add(alice, permission["imageUrl"]).json["imageUrl"] == movie.json["imageUrl"]


def test_an_upload_past_us_is_charged_when_a_movie_shows_it(make_app, names, database):
    alice = make_app(MAX_IMAGE_BYTES_PER_USER="1024").test_client().sign_up("Alice")
    first, second = (request_upload(alice, make_image()) for _ in range(2))
    for permission in (first, second):
        upload(permission, make_image())
    assert alice.get("/me").json["usage"]["imageBytes"] == 0

    stored = alice.get(path_of(add(alice, first["imageUrl"]).json["imageUrl"])).content_length

    assert alice.get("/me").json["usage"]["imageBytes"] == stored
    database.execute("UPDATE uploads SET size = 1024")
    response = add(alice, second["imageUrl"])
    assert (response.status_code, response.json["error"]["code"]) == (403, "QUOTA_EXCEEDED")
    assert len(names()) == 1, "what is rejected does not wait on"


def test_an_upload_takes_unused_images_along_in_a_bucket_too(alice, names, clock):
    movie = add(alice, data_url(make_image())).json
    alice.delete(f"/movies/{movie['id']}")
    clock.advance(hours=25)
    alice.log_in("alice@example.com")

    kept = add(alice, data_url(make_image(colour="red"))).json

    assert names() == [path_of(kept["imageUrl"])[1:]]


def test_the_form_fixes_place_type_and_size(alice):
    permission = alice.post("/images", json={"contentType": "image/png", "size": 1234}).json

    assert permission.keys() == {"uploadUrl", "method", "fields", "imageUrl", "expiresAt"}
    policy = json.loads(b64decode(permission["fields"]["policy"]))
    assert ["content-length-range", 1234, 1234] in policy["conditions"]
    assert {"Content-Type": "image/png"} in policy["conditions"]
    assert {"key": permission["fields"]["key"]} in policy["conditions"]
    assert {"bucket": BUCKET} in policy["conditions"]
    assert policy["expiration"][:15] == permission["expiresAt"][:15]


def test_the_url_to_put_to_fixes_type_and_size(make_app):
    alice = make_app(S3_UPLOAD="put").test_client().sign_up("Alice")

    permission = alice.post("/images", json={"contentType": "image/png", "size": 1234}).json

    signed = parse_qs(urlsplit(permission["uploadUrl"]).query)
    assert signed["X-Amz-SignedHeaders"] == ["content-length;content-type;host"]
    assert signed["X-Amz-Expires"] == ["600"]
    assert permission["headers"] == {"Content-Type": "image/png"}


@pytest.mark.parametrize(
    ("data", "media_type", "extra"),
    [
        (make_image(), "image/png", b"x"),
        (b"<html><script>alert(1)</script>", "image/png", b""),
        (make_image()[:60], "image/png", b""),
    ],
    ids=["one byte too long", "page", "breaks off"],
)
def test_a_wrong_upload_is_rejected_and_removed(alice, names, database, data, media_type, extra):
    permission = request_upload(alice, data, media_type)
    upload(permission, data + extra)

    response = add(alice, permission["imageUrl"])

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["imageUrl"]
    assert names() == []
    assert database.execute("SELECT * FROM images") == []


def test_an_upload_that_has_to_be_retried_waits_on(app, alice, names, monkeypatch):
    permission = request_upload(alice, make_image())
    upload(permission, make_image())
    monkeypatch.setattr("movies_api.images.codec.PATIENCE", 0.01)
    with app.app_context(), decode_slot():
        assert add(alice, permission["imageUrl"]).status_code == 503

    assert add(alice, permission["imageUrl"]).status_code == 201
    assert len(names()) == 1


def test_an_upload_that_another_request_takes_up_is_there(alice, monkeypatch):
    permission = request_upload(alice, make_image())
    upload(permission, make_image())
    real, faster = Bucket.names, []

    def names(bucket, prefix):
        monkeypatch.setattr(Bucket, "names", real)
        with ThreadPoolExecutor() as threads:
            faster.append(threads.submit(add, alice, permission["imageUrl"]).result())
        return real(bucket, prefix)

    monkeypatch.setattr(Bucket, "names", names)
    response = add(alice, permission["imageUrl"])

    assert [response.status_code, faster[0].status_code] == [201, 201]
    assert response.json["imageUrl"] == faster[0].json["imageUrl"]


def test_an_upload_of_another_is_nothing_to_show(alice, bob, names):
    permission = request_upload(alice, make_image())
    upload(permission, make_image())

    response = add(bob, permission["imageUrl"])

    assert response.status_code == 400
    assert len(names()) == 1, "it waits for Alice"
    assert add(alice, permission["imageUrl"]).status_code == 201


def test_a_cdn_hands_out_what_is_kept(make_app, names):
    app = make_app(IMAGE_BASE_URL="https://cdn.example.com/films/")
    alice = app.test_client().sign_up("Alice")
    url = add(alice, data_url(make_image())).json["imageUrl"]

    assert url == f"https://cdn.example.com/films/{names()[0]}"
    key = url.rpartition("/")[2]
    found = alice.get(f"/images/{key}")
    assert (found.status_code, found.headers["Location"]) == (302, url)
    small = alice.get(f"/images/{key}?w=160")
    assert (small.status_code, small.headers["Location"]) == (302, f"{url}-160.webp")
    assert f"images/{key}-160.webp" in names()
    assert add(alice, url).json["imageUrl"] == url
    permission = request_upload(alice, make_image(colour="red"))
    assert permission["imageUrl"].startswith("http://localhost/images/"), "the CDN does not know it"
    assert upload(permission, make_image(colour="red")) < 300
    assert (
        add(alice, permission["imageUrl"]).json["imageUrl"].startswith("https://cdn.example.com/")
    )


@pytest.mark.parametrize(
    ("base", "headers"),
    [
        ("http://api.example.com", {}),
        ("http://10.0.0.1", {"X-Forwarded-Host": "api.example.com"}),
    ],
)
def test_nobody_is_led_in_a_circle(make_app, base, headers):
    app = make_app(IMAGE_BASE_URL="https://api.example.com")
    alice = app.test_client().sign_up("Alice")
    path = path_of(add(alice, data_url(make_image())).json["imageUrl"]).removeprefix(
        "https://api.example.com"
    )

    assert alice.get(path, base_url=base, headers=headers).status_code == 200


@pytest.mark.parametrize("how", ["post", "put"])
def test_permissions_name_the_host_of_the_region(make_app, how):
    app = make_app(S3_ENDPOINT_URL="", S3_REGION="eu-central-1", S3_UPLOAD=how)
    permission = request_upload(app.test_client().sign_up("Alice"), make_image())

    host = urlsplit(permission["uploadUrl"]).hostname
    assert host == f"{BUCKET}.s3.eu-central-1.amazonaws.com"


def test_sends_no_checksums_that_some_stores_refuse(app):
    storage, sent = app.extensions["images"], []
    keep = lambda request, **_: sent.append(str(request.headers).lower())  # noqa: E731
    storage.client.meta.events.register("before-send.s3", keep)

    storage.put("images/x", b"x", "image/png")
    storage.open("images/x").close()

    assert len(sent) == 2
    assert not [head for head in sent if "checksum" in head or "aws-chunked" in head]


def test_a_sweep_removes_what_waits_and_what_nobody_shows(app, alice, names, store, clock):
    movie = add(alice, data_url(make_image())).json
    alice.get(f"{path_of(movie['imageUrl'])}?w=160")
    upload(request_upload(alice, make_image(colour="red")), make_image(colour="red"))
    store.put_object(Bucket=BUCKET, Key=f"images/{'0' * 64}", Body=b"x")
    store.put_object(Bucket=BUCKET, Key="elsewhere/x", Body=b"x")
    cleanup = app.test_cli_runner().invoke
    assert cleanup(args=["images", "cleanup"]).exit_code == 0
    assert len(names()) == 5, "all that is young stays"
    alice.delete(f"/movies/{movie['id']}")

    clock.advance(hours=1, minutes=1)
    assert "Deleted 0 images and 1 stray files." in cleanup(args=["images", "cleanup"]).output
    clock.advance(days=1, minutes=1)
    assert "Deleted 1 images and 1 stray files." in cleanup(args=["images", "cleanup"]).output

    assert names() == ["elsewhere/x"]


def test_a_bucket_that_is_away_is_503(make_app):
    alice = make_app(S3_BUCKET="not-there").test_client().sign_up("Alice")

    response = add(alice, data_url(make_image()))

    assert response.status_code == 503
    assert "storage" in response.json["error"]["message"]
    assert alice.get("/movies").json["items"] == []
    for name in ("0" * 32, "0" * 64):
        foreign = add(alice, f"https://example.com/images/{name}")
        assert foreign.json["imageUrl"] == f"https://example.com/images/{name}"


def test_an_account_goes_while_the_bucket_is_away(alice, store, names, database, clock, lines):
    add(alice, data_url(make_image()))
    clock.advance(minutes=2)
    remove_bucket(store, names)

    response = alice.delete("/me", json={"password": PASSWORD})

    assert response.status_code == 204
    assert [line["event"] for line in lines() if "event" in line][-1] == "account_deleted"
    assert any(line["message"].startswith("image storage") for line in lines())
    assert len(database.execute("SELECT * FROM images")) == 1, "it is for the sweep"


def test_a_sweep_says_that_the_bucket_is_away(app, store, names):
    remove_bucket(store, names)

    result = app.test_cli_runner().invoke(args=["images", "cleanup"])

    assert result.exit_code == 1
    assert "Error: Image storage is temporarily unavailable" in result.output
    assert "Traceback" not in result.output


def test_a_bucket_needs_its_library(monkeypatch, tmp_path):
    monkeypatch.setattr("movies_api.config.find_spec", lambda name: None)

    with pytest.raises(ConfigError, match=r"S3_BUCKET='films': .*\[s3\]"):
        Config.from_environ({"INSTANCE_DIR": str(tmp_path), "S3_BUCKET": "films"})


def test_reads_an_object_from_any_place(app):
    storage = app.extensions["images"]
    storage.put("images/x", bytes(range(256)) * 1000, "image/png")

    with storage.open("images/x") as file:
        assert file.seek(-6, 2) == 255_994
        assert file.read() == bytes(range(250, 256))
        file.seek(0)
        assert file.read() == bytes(range(256)) * 1000
    assert storage.open("images/none") is None


def test_backups_move_images_between_bucket_and_folder(
    app, make_app, alice, names, store, tmp_path
):
    for colour in ("red", "blue"):
        image = data_url(make_image(colour=colour))
        assert alice.post("/movies", json={"title": "Alien", "imageUrl": image}).status_code == 201
    before, file = names(), str(tmp_path / "a.zip")

    def invoke(app, *words):
        result = app.test_cli_runner().invoke(FlaskGroup(), words)
        assert result.exit_code == 0, result.output

    invoke(app, "backup", file)
    folder = make_app(S3_BUCKET="", S3_ENDPOINT_URL="", S3_REGION="")
    invoke(folder, "restore", file)
    assert sorted(f"images/{path.name}" for path in (tmp_path / "images").iterdir()) == before
    invoke(folder, "backup", file)
    for name in before:
        store.delete_object(Bucket=BUCKET, Key=name)
    invoke(app, "restore", "--force", file)

    assert names() == before
    head = store.head_object(Bucket=BUCKET, Key=before[0])
    assert head["ContentType"] == "image/png"
