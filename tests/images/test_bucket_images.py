"""Images in an S3 bucket, tested on a local S3 server."""

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
    """The URL of an S3 server."""
    with s3() as url:
        yield url


@pytest.fixture
def store(endpoint, monkeypatch):
    """An S3 client, with an empty bucket."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    for each in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        client.delete_object(Bucket=BUCKET, Key=each["Key"])
    return client


@pytest.fixture
def names(store):
    """A function that lists the objects in the bucket."""
    return lambda: sorted(
        each["Key"] for each in store.list_objects_v2(Bucket=BUCKET).get("Contents", ())
    )


@pytest.fixture
def make_app(migrated_app, database, store, endpoint, tmp_path):
    """A function that creates an app with an empty database and its images in the bucket."""
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
    """An app that stores its images in the bucket."""
    return make_app()


def send_upload(upload, data):
    """Upload as a browser does and return the status."""
    if upload["method"] == "POST":
        form = Request("POST", upload["uploadUrl"], data=upload["fields"], files={"file": data})
        sent = form.prepare()
        body, headers = sent.body, sent.headers
    else:
        body, headers = data, upload["headers"]
    address = urlsplit(upload["uploadUrl"])
    connection = HTTPConnection(address.hostname, address.port, timeout=30)
    try:
        connection.request(upload["method"], f"{address.path}?{address.query}", body, dict(headers))
        return connection.getresponse().status
    finally:
        connection.close()


def remove_bucket(store, names):
    """Delete the bucket; the next test creates it again."""
    for name in names():
        store.delete_object(Bucket=BUCKET, Key=name)
    store.delete_bucket(Bucket=BUCKET)


def add(client, url):
    return client.post("/movies", json={"title": "Alien", "imageUrl": url})


def test_image_is_stored_served_and_resized(alice, client, names):
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


def test_stored_object_has_content_type_and_cache_control(alice, store, names):
    add(alice, data_url(make_image()))

    about = store.head_object(Bucket=BUCKET, Key=names()[0])
    assert about["ContentType"] == "image/png"
    assert about["CacheControl"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("how", ["post", "put"])
def test_direct_upload_is_verified_when_a_movie_uses_it(make_app, names, how):
    app = make_app(S3_UPLOAD=how)
    alice = app.test_client().sign_up("Alice")
    upload = request_upload(alice, make_image())
    assert names() == []

    assert send_upload(upload, make_image()) < 300

    [pending] = names()
    assert pending.startswith("uploads/")
    assert alice.get(path_of(upload["imageUrl"])).status_code == 404, "it is not verified yet"
    movie = add(alice, upload["imageUrl"])
    assert movie.status_code == 201
    assert names() == [path_of(movie.json["imageUrl"])[1:]]
    assert open_image(alice.get(path_of(movie.json["imageUrl"])).data).format == "PNG"
    found = alice.get(path_of(upload["imageUrl"]))
    key = movie.json["imageUrl"].rpartition("/")[2]
    assert (found.status_code, found.headers["Location"]) == (302, key)
    assert add(alice, upload["imageUrl"]).json["imageUrl"] == movie.json["imageUrl"]


def test_direct_upload_counts_toward_quota_when_a_movie_uses_it(make_app, names, database):
    alice = make_app(MAX_IMAGE_BYTES_PER_USER="1024").test_client().sign_up("Alice")
    first, second = (request_upload(alice, make_image()) for _ in range(2))
    for upload in (first, second):
        send_upload(upload, make_image())
    assert alice.get("/me").json["usage"]["imageBytes"] == 0

    stored = alice.get(path_of(add(alice, first["imageUrl"]).json["imageUrl"])).content_length

    assert alice.get("/me").json["usage"]["imageBytes"] == stored
    database.execute("UPDATE uploads SET size = 1024")
    response = add(alice, second["imageUrl"])
    assert (response.status_code, response.json["error"]["code"]) == (403, "QUOTA_EXCEEDED")
    assert len(names()) == 1, "the rejected upload is deleted"


def test_new_image_triggers_cleanup_of_the_bucket(alice, names, clock):
    movie = add(alice, data_url(make_image())).json
    alice.delete(f"/movies/{movie['id']}")
    clock.advance(hours=25)
    alice.log_in("alice@example.com")

    kept = add(alice, data_url(make_image(colour="red"))).json

    assert names() == [path_of(kept["imageUrl"])[1:]]


def test_upload_form_fixes_key_type_and_size(alice):
    upload = alice.post("/images", json={"contentType": "image/png", "size": 1234}).json

    assert upload.keys() == {"uploadUrl", "method", "fields", "imageUrl", "expiresAt"}
    policy = json.loads(b64decode(upload["fields"]["policy"]))
    assert ["content-length-range", 1234, 1234] in policy["conditions"]
    assert {"Content-Type": "image/png"} in policy["conditions"]
    assert {"key": upload["fields"]["key"]} in policy["conditions"]
    assert {"bucket": BUCKET} in policy["conditions"]
    assert policy["expiration"][:15] == upload["expiresAt"][:15]


def test_presigned_put_url_fixes_type_and_size(make_app):
    alice = make_app(S3_UPLOAD="put").test_client().sign_up("Alice")

    upload = alice.post("/images", json={"contentType": "image/png", "size": 1234}).json

    signed = parse_qs(urlsplit(upload["uploadUrl"]).query)
    assert signed["X-Amz-SignedHeaders"] == ["content-length;content-type;host"]
    assert signed["X-Amz-Expires"] == ["600"]
    assert upload["headers"] == {"Content-Type": "image/png"}


@pytest.mark.parametrize(
    ("data", "media_type", "extra"),
    [
        (make_image(), "image/png", b"x"),
        (b"<html><script>alert(1)</script>", "image/png", b""),
        (make_image()[:60], "image/png", b""),
    ],
    ids=["one byte too long", "page", "truncated"],
)
def test_invalid_direct_upload_is_rejected_and_deleted(
    alice, names, database, data, media_type, extra
):
    upload = request_upload(alice, data, media_type)
    send_upload(upload, data + extra)

    response = add(alice, upload["imageUrl"])

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["imageUrl"]
    assert names() == []
    assert database.execute("SELECT * FROM images") == []


def test_direct_upload_survives_a_retryable_error(app, alice, names, monkeypatch):
    upload = request_upload(alice, make_image())
    send_upload(upload, make_image())
    monkeypatch.setattr("movies_api.images.codec.SLOT_TIMEOUT", 0.01)
    with app.app_context(), decode_slot():
        assert add(alice, upload["imageUrl"]).status_code == 503

    assert add(alice, upload["imageUrl"]).status_code == 201
    assert len(names()) == 1


def test_direct_upload_can_be_used_by_concurrent_requests(alice, monkeypatch):
    upload = request_upload(alice, make_image())
    send_upload(upload, make_image())
    real, concurrent = Bucket.names, []

    def names(bucket, prefix):
        monkeypatch.setattr(Bucket, "names", real)
        with ThreadPoolExecutor() as threads:
            concurrent.append(threads.submit(add, alice, upload["imageUrl"]).result())
        return real(bucket, prefix)

    monkeypatch.setattr(Bucket, "names", names)
    response = add(alice, upload["imageUrl"])

    assert [response.status_code, concurrent[0].status_code] == [201, 201]
    assert response.json["imageUrl"] == concurrent[0].json["imageUrl"]


def test_direct_upload_of_another_user_returns_400(alice, bob, names):
    upload = request_upload(alice, make_image())
    send_upload(upload, make_image())

    response = add(bob, upload["imageUrl"])

    assert response.status_code == 400
    assert len(names()) == 1, "the upload is still there"
    assert add(alice, upload["imageUrl"]).status_code == 201


def test_images_are_served_from_the_cdn(make_app, names):
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
    upload = request_upload(alice, make_image(colour="red"))
    assert upload["imageUrl"].startswith("http://localhost/images/"), "it is not on the CDN yet"
    assert send_upload(upload, make_image(colour="red")) < 300
    assert add(alice, upload["imageUrl"]).json["imageUrl"].startswith("https://cdn.example.com/")


@pytest.mark.parametrize(
    ("base", "headers"),
    [
        ("http://api.example.com", {}),
        ("http://10.0.0.1", {"X-Forwarded-Host": "api.example.com"}),
    ],
)
def test_image_base_url_of_the_api_does_not_redirect(make_app, base, headers):
    app = make_app(IMAGE_BASE_URL="https://api.example.com")
    alice = app.test_client().sign_up("Alice")
    path = path_of(add(alice, data_url(make_image())).json["imageUrl"]).removeprefix(
        "https://api.example.com"
    )

    assert alice.get(path, base_url=base, headers=headers).status_code == 200


@pytest.mark.parametrize("how", ["post", "put"])
def test_upload_url_uses_the_regional_host(make_app, how):
    app = make_app(S3_ENDPOINT_URL="", S3_REGION="eu-central-1", S3_UPLOAD=how)
    upload = request_upload(app.test_client().sign_up("Alice"), make_image())

    host = urlsplit(upload["uploadUrl"]).hostname
    assert host == f"{BUCKET}.s3.eu-central-1.amazonaws.com"


def test_storage_sends_no_checksum_headers(app):
    storage, sent = app.extensions["images"], []
    keep = lambda request, **_: sent.append(str(request.headers).lower())  # noqa: E731
    storage.client.meta.events.register("before-send.s3", keep)

    storage.put("images/x", b"x", "image/png")
    storage.open("images/x").close()

    assert len(sent) == 2
    assert not [head for head in sent if "checksum" in head or "aws-chunked" in head]


def test_cleanup_deletes_pending_uploads_and_unused_images(app, alice, names, store, clock):
    movie = add(alice, data_url(make_image())).json
    alice.get(f"{path_of(movie['imageUrl'])}?w=160")
    send_upload(request_upload(alice, make_image(colour="red")), make_image(colour="red"))
    store.put_object(Bucket=BUCKET, Key=f"images/{'0' * 64}", Body=b"x")
    store.put_object(Bucket=BUCKET, Key="elsewhere/x", Body=b"x")
    cleanup = app.test_cli_runner().invoke
    assert cleanup(args=["images", "cleanup"]).exit_code == 0
    assert len(names()) == 5, "recent objects are kept"
    alice.delete(f"/movies/{movie['id']}")

    clock.advance(hours=1, minutes=1)
    assert "Deleted 0 images and 1 stray files." in cleanup(args=["images", "cleanup"]).output
    clock.advance(days=1, minutes=1)
    assert "Deleted 1 images and 1 stray files." in cleanup(args=["images", "cleanup"]).output

    assert names() == ["elsewhere/x"]


def test_unavailable_bucket_returns_503(make_app):
    alice = make_app(S3_BUCKET="not-there").test_client().sign_up("Alice")

    response = add(alice, data_url(make_image()))

    assert response.status_code == 503
    assert "storage" in response.json["error"]["message"]
    assert alice.get("/movies").json["items"] == []
    for name in ("0" * 32, "0" * 64):
        external = add(alice, f"https://example.com/images/{name}")
        assert external.json["imageUrl"] == f"https://example.com/images/{name}"


def test_account_is_deleted_while_the_bucket_is_unavailable(
    alice, store, names, database, clock, lines
):
    add(alice, data_url(make_image()))
    clock.advance(minutes=2)
    remove_bucket(store, names)

    response = alice.delete("/me", json={"password": PASSWORD})

    assert response.status_code == 204
    assert [line["event"] for line in lines() if "event" in line][-1] == "account_deleted"
    assert any(line["message"].startswith("image storage") for line in lines())
    assert len(database.execute("SELECT * FROM images")) == 1, "cleanup deletes it"


def test_cleanup_reports_unavailable_bucket(app, store, names):
    remove_bucket(store, names)

    result = app.test_cli_runner().invoke(args=["images", "cleanup"])

    assert result.exit_code == 1
    assert "Error: Image storage is temporarily unavailable" in result.output
    assert "Traceback" not in result.output


def test_s3_bucket_requires_the_s3_extra(monkeypatch, tmp_path):
    monkeypatch.setattr("movies_api.config.find_spec", lambda name: None)

    with pytest.raises(ConfigError, match=r"S3_BUCKET='films': .*\[s3\]"):
        Config.from_environ({"INSTANCE_DIR": str(tmp_path), "S3_BUCKET": "films"})


def test_stored_object_is_seekable(app):
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
