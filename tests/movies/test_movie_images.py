"""imageUrl: an image in the request is stored and replaced by its URL."""

import re
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageCms
from sqlalchemy import text

from movies_api.images.codec import decode_slot, sanitize_image

from ..image_helpers import (
    TYPES,
    data_url,
    make_animation,
    make_image,
    open_image,
    path_of,
    request_upload,
)

IMAGE_URL = re.compile(r"http://localhost/images/[0-9a-f]{64}")


def add(client, url, **more):
    return client.post("/movies", json={"title": "Alien", "imageUrl": url}, **more)


@pytest.mark.parametrize("name", TYPES)
def test_data_url_is_stored_and_replaced_by_its_url(alice, client, files, name):
    response = add(alice, data_url(make_image(name), TYPES[name]))

    assert response.status_code == 201
    url = response.json["imageUrl"]
    assert IMAGE_URL.fullmatch(url)
    assert files() == [url.rpartition("/")[2]]
    shown = client.get(path_of(url))
    assert (shown.status_code, shown.mimetype) == (200, TYPES[name])
    image = open_image(shown.data)
    assert (image.format, image.size) == (name, (40, 30))
    red, green, blue = image.convert("RGB").getpixel((20, 15))
    assert abs(red) < 8
    assert abs(green - 128) < 8
    assert abs(blue - 128) < 8


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG"])
def test_animation_is_kept(alice, client, name):
    response = add(alice, data_url(make_animation(name), TYPES[name]))

    assert response.status_code == 201
    image = open_image(client.get(path_of(response.json["imageUrl"])).data)
    assert (image.n_frames, image.info["loop"], image.info["duration"]) == (3, 0, 100)
    image.seek(2)
    assert abs(image.convert("RGB").getpixel((5, 5))[0] - 160) < 8


@pytest.mark.parametrize("loop", [None, 3])
def test_animation_loop_count_is_kept(alice, client, loop):
    response = add(alice, data_url(make_animation(loop=loop), "image/gif"))

    kept = open_image(client.get(path_of(response.json["imageUrl"])).data)
    assert (kept.n_frames, kept.info.get("loop")) == (3, loop)


@pytest.mark.parametrize("text", [b"<svg ", b"<svg>"])
def test_image_whose_pixels_look_like_markup_is_accepted(alice, text):
    image, out = Image.frombytes("L", (20, 1), text.ljust(20, b"x")), BytesIO()
    image.putpalette(bytes(768))  # else the pixels are written as differences
    image.save(out, "PNG", compress_level=0)
    assert text in out.getvalue()

    assert add(alice, data_url(out.getvalue())).status_code == 201


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "I;16"])
def test_images_of_all_modes_are_accepted(alice, client, mode):
    response = add(alice, data_url(make_image(mode=mode)))

    assert response.status_code == 201
    path = path_of(response.json["imageUrl"])
    assert open_image(client.get(path).data).size == (40, 30)
    assert open_image(client.get(f"{path}?w=160").data).format == "WEBP"


def test_cmyk_jpeg_is_converted_to_rgb(alice, client):
    response = add(alice, data_url(make_image("JPEG", mode="CMYK"), "image/jpeg"))

    assert response.status_code == 201
    assert open_image(client.get(path_of(response.json["imageUrl"])).data).mode == "RGB"


def swapped_profile():
    """Return a colour profile that swaps red and green."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"tXYZ").replace(b"gXYZ", b"rXYZ").replace(b"tXYZ", b"gXYZ")


@pytest.mark.parametrize(
    ("name", "mode", "profile", "shown"),
    [
        ("JPEG", "RGB", swapped_profile(), (0, 255, 0)),
        ("PNG", "RGBA", swapped_profile(), (0, 255, 0)),
        ("PNG", "P", swapped_profile(), (0, 255, 0)),
        ("WEBP", "RGB", swapped_profile(), (0, 255, 0)),
        ("PNG", "RGB", b"broken", (255, 0, 0)),
        ("JPEG", "CMYK", swapped_profile(), (255, 0, 0)),
    ],
)
def test_colour_profile_is_applied(alice, client, name, mode, profile, shown):
    sent = make_image(name, colour="red", mode=mode, icc_profile=profile)

    response = add(alice, data_url(sent, TYPES[name]))

    kept = open_image(client.get(path_of(response.json["imageUrl"])).data)
    assert "icc_profile" not in kept.info
    for seen, expected in zip(kept.convert("RGB").getpixel((20, 15)), shown, strict=True):
        assert abs(seen - expected) < 12


@pytest.mark.parametrize(
    "declared", ["image/jpeg", "image/jpg", "IMAGE/X-PNG", "application/octet-stream", ""]
)
def test_image_type_is_detected_from_its_bytes(alice, client, declared):
    """A WebP named .jpg: browsers declare the type by the file name."""
    data = (Path(__file__).parents[1] / "import_export/cases/poster_webp_named.jpg").read_bytes()

    response = add(alice, data_url(data, declared))

    assert response.status_code == 201
    assert client.get(path_of(response.json["imageUrl"])).content_type == "image/webp"


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
def test_heic_image_returns_400_with_instructions(alice, brand):
    response = add(alice, data_url(b"\0\0\0\x18ftyp" + brand + bytes(64), "image/heic"))

    assert response.status_code == 400
    (message,) = response.json["error"]["details"]["imageUrl"]
    assert message == (
        "The image is HEIC, which browsers do not show. Save it as JPEG; on an iPhone, choose "
        "Settings > Camera > Formats > Most Compatible."
    )


def test_image_metadata_is_removed(alice, client):
    exif = Image.Exif()
    exif[0x0110] = "A Camera"
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[1] = "N"
    sent = make_image("JPEG", exif=exif, comment=b"a comment")
    assert b"A Camera" in sent

    response = add(alice, data_url(sent, "image/jpeg"))

    kept = client.get(path_of(response.json["imageUrl"])).data
    image = open_image(kept)
    assert not image.getexif()
    assert b"A Camera" not in kept
    assert b"a comment" not in kept
    assert image.size == (30, 40), "the rotation is applied"


def test_identical_images_are_stored_once(alice, bob, files):
    urls = {add(client, data_url(make_image())).json["imageUrl"] for client in (alice, bob, alice)}

    assert len(urls) == 1
    assert len(files()) == 1


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_update_replaces_the_image(alice, files, method):
    movie = add(alice, data_url(make_image())).json

    response = alice.open(
        f"/movies/{movie['id']}",
        method=method,
        json={"imageUrl": data_url(make_image(colour="red"))},
    )

    assert response.status_code == 200
    assert IMAGE_URL.fullmatch(response.json["imageUrl"])
    assert response.json["imageUrl"] != movie["imageUrl"]
    assert alice.get(f"/movies/{movie['id']}").json == response.json
    assert len(files()) == 2


def test_returned_image_url_is_accepted(alice, database):
    movie = add(alice, data_url(make_image())).json

    response = alice.put(f"/movies/{movie['id']}", json=movie)

    assert response.status_code == 200
    assert response.json["imageUrl"] == movie["imageUrl"]
    again = add(alice, f"{movie['imageUrl']}?w=320")
    assert again.json["imageUrl"] == movie["imageUrl"]
    path = path_of(movie["imageUrl"])
    assert {row.image_url for row in database.execute("SELECT image_url FROM movies")} == {path}
    assert {row.image_key for row in database.execute("SELECT image_key FROM movies")} == {path[8:]}


def test_image_url_uses_the_host_of_the_request(alice, client):
    movie = add(alice, data_url(make_image())).json

    elsewhere = alice.get(f"/movies/{movie['id']}", base_url="https://api.example.com").json

    assert elsewhere["imageUrl"] == movie["imageUrl"].replace(
        "http://localhost", "https://api.example.com"
    )
    body = {"title": "Alien", "imageUrl": elsewhere["imageUrl"]}
    again = alice.post("/movies", json=body, base_url="https://api.example.com").json
    assert alice.get(f"/movies/{again['id']}").json["imageUrl"] == movie["imageUrl"]


def test_unknown_image_url_returns_400(alice):
    response = add(alice, f"http://localhost/images/{'0' * 64}")

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["imageUrl"]


@pytest.mark.parametrize("name", ["0" * 64, "0" * 32, "alien.png"])
def test_external_image_url_is_unchanged(alice, name):
    response = add(alice, f"https://example.com/images/{name}")

    assert response.status_code == 201
    assert response.json["imageUrl"] == f"https://example.com/images/{name}"


def test_image_urls_in_a_list_need_no_extra_statements(alice):
    for number in range(20):
        alice.post("/movies", json={"title": f"Alien {number}"})
    alice.get("/movies")
    plain = alice.statements
    for movie in alice.get("/movies").json["items"]:
        colour = (movie["id"] % 250, 9, 9)
        alice.patch(
            f"/movies/{movie['id']}", json={"imageUrl": data_url(make_image(colour=colour))}
        )

    response = alice.get("/movies")

    assert all(IMAGE_URL.fullmatch(movie["imageUrl"]) for movie in response.json["items"])
    assert len(alice.statements) == len(plain)


@pytest.mark.parametrize(
    "url",
    [
        "data:",
        "data:,",
        "data:image/png;base64,",
        "data:image/png;base64,AA=",
        "data:image/png;base64,A A=",
        "data:image/png;base64,ÄÖ==",
        "data:image/png,AAAA",
        "data:text/html;base64,PGI+",
        "data:image/svg+xml;base64,PHN2Zy8+",
        "data:image/svg+xml,<svg/>",
        "data:application/octet-stream;base64,AAAA",
    ],
)
def test_invalid_data_url_returns_400(alice, files, url):
    response = add(alice, url)

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["imageUrl"]
    assert files() == []


def test_too_many_concurrent_images_return_503(app, alice, files, monkeypatch):
    monkeypatch.setattr("movies_api.images.codec.SLOT_TIMEOUT", 0.01)
    with app.app_context(), decode_slot():
        busy = add(alice, data_url(make_image()))

    assert busy.status_code == 503
    assert busy.headers["Retry-After"] == "1"
    assert files() == []
    assert add(alice, data_url(make_image())).status_code == 201


def test_image_over_the_size_limit_returns_413(app, alice, files):
    limit = app.extensions["movies_api"].image_max_bytes
    response = add(alice, data_url(bytes(limit + 1)))

    assert response.status_code == 413
    assert str(limit) in response.json["error"]["message"]
    assert add(alice, data_url(bytes(limit))).status_code == 400
    assert files() == []


def test_bodies_without_image_keep_the_small_limit(app, alice):
    limit = app.extensions["movies_api"].max_body_bytes
    response = alice.post("/images", json={"contentType": "x" * limit, "size": 1})

    assert response.status_code == 413
    assert (
        alice.post("/movies", json={"title": "Alien", "imageUrl": "x" * 20_000_000}).status_code
        == 413
    )


@pytest.mark.parametrize(
    "more",
    [
        {"year": [[]] * 30_000},
        {"year": "1" * 70_000},
        {"year": "data:" + "x" * 70_000},
        dict.fromkeys(map(str, range(10_000))),
        {'"data:': [[]] * 30_000},
    ],
    ids=["lists", "text", "another file", "keys", "lists in disguise"],
)
def test_large_body_limit_applies_only_to_the_image(alice, more):
    url = data_url(bytes(100_000))

    response = alice.post("/movies", json={"title": "Alien", "imageUrl": url, **more})

    assert response.status_code == 413


def test_unknown_fields_are_reported_up_to_a_limit(alice):
    response = alice.post("/movies", json=dict.fromkeys(map(str, range(100))))

    assert response.status_code == 400
    details = response.json["error"]["details"]
    assert len(details) == 20
    assert details.pop("title") == ["Required."]
    assert [messages for messages in details.values() if len(messages) > 1] == [
        ["Unknown field.", "81 more fields are unknown."]
    ]


def test_image_of_an_invalid_movie_is_not_stored(alice, files):
    response = alice.post("/movies", json={"title": "", "imageUrl": data_url(make_image())})

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["title"]
    assert files() == []


def test_image_of_a_rejected_update_is_not_stored(alice, bob, files):
    movie = alice.post("/movies", json={"title": "Alien"}).json
    url = data_url(make_image())

    assert bob.patch(f"/movies/{movie['id']}", json={"imageUrl": url}).status_code == 403
    assert bob.patch(f"/movies/{movie['id'] + 1}", json={"imageUrl": url}).status_code == 404
    stale = {"If-Match": '"7"'}
    assert (
        alice.patch(f"/movies/{movie['id']}", json={"imageUrl": url}, headers=stale).status_code
        == 412
    )
    assert files() == []


def test_image_deleted_during_the_request_returns_400(alice, monkeypatch):
    movie = alice.post("/movies", json={"title": "Alien"}).json
    url = f"http://localhost/images/{'0' * 64}"
    monkeypatch.setattr("movies_api.images.ingest.touch_image", lambda key: True)

    for response in (
        add(alice, url),
        alice.patch(f"/movies/{movie['id']}", json={"imageUrl": url}),
    ):
        assert response.status_code == 400
        assert list(response.json["error"]["details"]) == ["imageUrl"]


def test_image_sent_during_account_deletion_returns_401(alice, files, database, monkeypatch):
    def clean(*arguments):
        database.execute(text("DELETE FROM users"))
        return sanitize_image(*arguments)

    monkeypatch.setattr("movies_api.images.ingest.sanitize_image", clean)
    response = add(alice, data_url(make_image()))

    assert response.status_code == 401
    assert response.json["error"]["code"] == "INVALID_TOKEN"
    assert files() == []


def test_upload_of_another_user_returns_400(alice, bob):
    upload = request_upload(alice, make_image())
    assert alice.put(path_of(upload["uploadUrl"]), data=make_image()).status_code == 201

    response = add(bob, upload["imageUrl"])

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["imageUrl"]
    assert IMAGE_URL.fullmatch(add(alice, upload["imageUrl"]).json["imageUrl"])
