"""GET /images/{name}: public access, caching, ranges and thumbnails."""

import struct
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from time import sleep

import pytest
from PIL import Image

from movies_api.images.codec import make_thumbnail

from ..image_helpers import (
    data_url,
    make_animation,
    make_image,
    open_image,
    path_of,
    request_upload,
)


@pytest.fixture
def image_path(alice, files):
    """The path of an image of Alice's, 1000 x 500 pixels."""
    movie = {"title": "Alien", "imageUrl": data_url(make_image("JPEG", (1000, 500)), "image/jpeg")}
    return path_of(alice.post("/movies", json=movie).json["imageUrl"])


def test_image_is_public_and_immutable(client, image_path):
    response = client.get(image_path)

    assert response.status_code == 200
    assert response.mimetype == "image/jpeg"
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response.headers["ETag"] == f'"{image_path.rpartition("/")[2]}"'
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.content_length == len(response.data)
    head = client.head(image_path)
    assert (head.status_code, head.content_length, head.data) == (200, len(response.data), b"")


def test_image_response_has_security_headers(client, image_path):
    headers = client.get(image_path).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"


def test_image_with_matching_etag_returns_304(client, image_path):
    etag = client.get(image_path).headers["ETag"]

    response = client.get(image_path, headers={"If-None-Match": etag})

    assert response.status_code == 304
    assert response.data == b""
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert client.get(image_path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.get(image_path, headers={"If-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("value", "part"),
    [("bytes=0-9", slice(0, 10)), ("bytes=100-", slice(100, None)), ("bytes=-7", slice(-7, None))],
)
def test_range_request_returns_206(client, image_path, value, part):
    whole = client.get(image_path).data

    response = client.get(image_path, headers={"Range": value})

    assert response.status_code == 206
    assert response.data == whole[part]
    assert response.headers["Content-Range"].endswith(f"/{len(whole)}")


@pytest.mark.parametrize("value", ["items=0-5", "bytes=abc", "bytes=5-2", "bytes=0-4,9-12", "x"])
def test_unsupported_range_returns_whole_image(client, image_path, value):
    response = client.get(image_path, headers={"Range": value})

    assert response.status_code == 200
    assert response.content_length == len(response.data)


def test_head_ignores_range(client, image_path):
    response = client.head(image_path, headers={"Range": "bytes=0-9"})

    assert response.status_code == 200


def test_matching_etag_takes_precedence_over_range(client, image_path):
    etag = client.get(image_path).headers["ETag"]

    response = client.get(image_path, headers={"Range": "bytes=0-9", "If-None-Match": etag})

    assert response.status_code == 304
    other = client.get(image_path, headers={"Range": "bytes=0-9", "If-None-Match": '"other"'})
    assert other.status_code == 206


@pytest.mark.parametrize("origin", [None, "http://localhost:3000", "https://elsewhere.example"])
def test_image_response_varies_by_origin(client, image_path, origin):
    response = client.get(image_path, headers={"Origin": origin} if origin else {})

    assert response.headers.getlist("Vary") == ["Origin"]


def test_missing_image_returns_uncached_404(client):
    response = client.get(f"/images/{'0' * 64}")

    assert (response.status_code, response.headers["Cache-Control"]) == (404, "no-store")


def test_concurrent_requests_create_one_thumbnail(app, alice, image_path, monkeypatch):
    made = []

    def slowly(file, width):
        made.append(width)
        sleep(0.1)
        return make_thumbnail(file, width)

    monkeypatch.setattr("movies_api.images.ingest.make_thumbnail", slowly)
    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(app.test_client().get, f"{image_path}?w=160") for _ in range(4)]

    assert [each.result().status_code for each in calls] == [200] * 4
    assert made == [160]


def test_failed_if_range_returns_whole_image(client, image_path):
    response = client.get(image_path, headers={"Range": "bytes=0-9", "If-Range": '"other"'})

    assert response.status_code == 200


def test_range_past_the_end_returns_416(client, image_path):
    response = client.get(image_path, headers={"Range": "bytes=9999999-"})

    assert response.status_code == 416
    assert response.headers["Content-Range"].startswith("bytes */")


@pytest.mark.parametrize("width", [160, 320, 640])
def test_thumbnail_is_created_once(client, image_path, files, width):
    response = client.get(f"{image_path}?w={width}")

    assert response.status_code == 200
    assert response.mimetype == "image/webp"
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert open_image(response.data).size == (width, width // 2)
    assert len(files()) == 2
    again = client.get(f"{image_path}?w={width}")
    assert (again.data, again.headers["ETag"]) == (response.data, response.headers["ETag"])
    assert again.headers["ETag"] != client.get(image_path).headers["ETag"]


def test_thumbnail_is_not_enlarged_or_animated(alice, client):
    movie = {"title": "Alien", "imageUrl": data_url(make_animation(), "image/gif")}
    path = path_of(alice.post("/movies", json=movie).json["imageUrl"])

    image = open_image(client.get(f"{path}?w=160").data)

    assert (image.size, image.n_frames) == ((20, 10), 1)


def test_very_tall_image_has_a_thumbnail(alice, client):
    movie = {"title": "Alien", "imageUrl": data_url(make_image(size=(3, 60_000)))}
    path = path_of(alice.post("/movies", json=movie).json["imageUrl"])

    response = client.get(f"{path}?w=640")

    assert response.status_code == 200
    assert open_image(response.data).height == 2560


def test_very_wide_image_has_a_thumbnail(alice, client):
    movie = {"title": "Alien", "imageUrl": data_url(make_image("JPEG", (6000, 3)), "image/jpeg")}
    path = path_of(alice.post("/movies", json=movie).json["imageUrl"])

    response = client.get(f"{path}?w=160")

    assert response.status_code == 200
    assert open_image(response.data).size == (160, 1)


@pytest.mark.parametrize("options", [{}, {"transparency": 0x4000}])
def test_thumbnail_of_16_bit_image_keeps_its_shades(alice, client, options):
    shades = struct.pack("<200H", *[0x4000] * 100, *[0xC000] * 100) * 100
    image, out = Image.frombytes("I;16", (200, 100), shades), BytesIO()
    image.save(out, "PNG", **options)
    movie = {"title": "Alien", "imageUrl": data_url(out.getvalue())}
    path = path_of(alice.post("/movies", json=movie).json["imageUrl"])

    small = open_image(client.get(f"{path}?w=160").data)
    assert small.mode == "RGB"
    small = small.convert("L")

    assert abs(small.getpixel((20, 40)) - 0x40) < 4
    assert abs(small.getpixel((140, 40)) - 0xC0) < 4


@pytest.mark.parametrize(
    "query",
    [
        "w=161",
        "w=0",
        "w=-160",
        "w=x",
        "w=160&w=320",
        "width=160",
        "W=160",
        "w=1_60",
        "w=%20160",
        "w=%EF%BC%91%EF%BC%96%EF%BC%90",
    ],
)
def test_invalid_thumbnail_parameter_returns_400(client, image_path, query):
    response = client.get(f"{image_path}?{query}")

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == [query.partition("=")[0]]


@pytest.mark.parametrize(
    "name",
    [
        "0" * 64,
        "0" * 32,
        "0" * 63,
        "F" * 64,
        "secret_key",
        "..",
        "%2e%2e",
        "..%2fsecret_key",
        "..%5csecret_key",
        "%00",
        "../secret_key",
        "x.svg",
        f"{'0' * 64}-160.webp",
        f"{'0' * 64}%0a",
    ],
)
def test_invalid_image_name_returns_404(client, image_path, name):
    for suffix in ("", "?w=160"):
        response = client.get(f"/images/{name}{suffix}")

        assert response.status_code == 404


def test_thumbnail_file_name_returns_404(client, image_path):
    client.get(f"{image_path}?w=160")

    assert client.get(f"{image_path}-160.webp").status_code == 404


def test_upload_redirects_to_its_image(alice, client):
    upload = request_upload(alice, make_image())
    name = path_of(upload["imageUrl"])
    assert client.get(name).status_code == 404
    url = client.put(path_of(upload["uploadUrl"]), data=make_image()).json["imageUrl"]

    response = client.get(f"{name}?w=160")

    assert response.status_code == 302
    assert response.headers["Location"] == f"{url.rpartition('/')[2]}?w=160"


def test_lost_image_file_returns_404_and_can_be_uploaded_again(app, alice, client, image_path):
    (app.extensions["movies_api"].image_dir / image_path.rpartition("/")[2]).unlink()
    assert client.get(image_path).status_code == 404
    assert client.get(f"{image_path}?w=160").status_code == 404

    movie = {"title": "Alien", "imageUrl": data_url(make_image("JPEG", (1000, 500)), "image/jpeg")}
    assert path_of(alice.post("/movies", json=movie).json["imageUrl"]) == image_path

    assert client.get(image_path).status_code == 200
