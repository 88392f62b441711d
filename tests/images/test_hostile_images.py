"""Files that want to do harm: each is told what is wrong with it, and nothing of it is kept."""

import ctypes
import struct
import subprocess
import sys
import threading
import zlib
from http.client import HTTPConnection
from io import BytesIO
from time import process_time
from urllib.parse import urlsplit

import pytest
from PIL import Image, ImageCms

from movies_api.images.codec import ACTIVE_CONTENT

from ..image_helpers import TYPES, data_url, make_animation, make_image, path_of, request_upload


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width, height):
    """A PNG of that size in a few kilobytes, whole and true."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    pixels = zlib.compress(bytes((width // 8 + 1) * height), 9)
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def gif_bomb(count):
    """A GIF of 1000 x 1000 whose frames are many and small."""
    frames = [Image.new("1", (1000, 1000), number % 2) for number in range(count)]
    out = BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    return out.getvalue()


def gif_that_grows():
    """A GIF whose second frame says it is 60000 pixels wide."""
    data = make_animation(count=2)
    at = data.rindex(b"\x2c")
    return data[:at] + b"\x2c" + struct.pack("<HHHH", 0, 0, 60000, 60000) + data[at + 9 :]


def jpeg_of_many_scans():
    """A JPEG of few bytes whose last scan, over all of its pixels, is there 101 times."""
    data = make_image("JPEG", (800, 600), mode="L", progressive=True)
    last, end = data.rindex(b"\xff\xc4"), data.rindex(b"\xff\xd9")
    assert b"\xff\xda" in data[last:]
    return data[:end] + data[last:end] * 100 + data[end:]


MEASURE = """
import sys
from movies_api.images.codec import _decode
def peak():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
data, before = sys.stdin.buffer.read(), peak()
_decode(data, 30_000_000)
print(peak() - before)
"""


REST = """
import sys
from io import BytesIO
from flask import Flask
from PIL import Image
from movies_api.config import Config
from movies_api.images.codec import sanitize_image
def resting():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
app, small = Flask("movies"), BytesIO()
app.extensions["movies_api"] = Config.from_environ({"INSTANCE_DIR": sys.argv[2]})
Image.new("RGB", (40, 30)).save(small, "PNG")
small.seek(0)
data = sys.stdin.buffer.read()
with app.app_context():
    sanitize_image(small)
    before = resting()
    sanitize_image(BytesIO(data))
print(resting() / before)
"""


SCRIPT = b"<script>alert(document.domain)</script>"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>'
FILES = {
    "nothing": ("image/png", b"\0"),
    "html": ("image/png", b"<!doctype html><title>x</title>" + SCRIPT),
    "plain text": ("image/png", b"hello"),
    "svg": ("image/png", SVG),
    "pdf": ("image/jpeg", b"%PDF-1.7\n1 0 obj\n"),
    "windows bitmap": ("image/png", make_image("BMP")),
    "postscript": ("image/png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    "icon": ("image/png", make_image("ICO")),
    "gif and script behind it": ("image/gif", make_image("GIF") + SCRIPT),
    "gif and script in it": ("image/gif", make_image("GIF", comment=SCRIPT)),
    "gif that is javascript": (
        "image/gif",
        b"GIF89a/*" + make_image("GIF")[8:] + b"*/=1;alert(1)//",
    ),
    "png and page in it": (
        "image/png",
        make_image()[:-12] + chunk(b"tEXt", b"x\0<html >") + make_image()[-12:],
    ),
    "jpeg and php in it": ("image/jpeg", make_image("JPEG", comment=b"<?php system($_GET[0]); ?>")),
    "head alone": ("image/png", make_image()[:33]),
    "bomb": ("image/png", png_bomb(20000, 20000)),
    "smaller bomb": ("image/png", png_bomb(10000, 10000)),
    "long bomb": ("image/png", png_bomb(8, 2**24)),
    "gif bomb": ("image/gif", gif_bomb(31)),
    "gif that grows": ("image/gif", gif_that_grows()),
    "jpeg of many scans": ("image/jpeg", jpeg_of_many_scans()),
    "gif of large frames": ("image/gif", make_animation(count=2, size=(1500, 1001))),
    "bomb of tiny frames": ("image/gif", make_animation(count=1001, size=(2, 1))),
    "webp bomb": ("image/webp", make_image("WEBP", (4000, 3200), method=0)),
    "webp bomb to see through": (
        "image/webp",
        make_image("WEBP", (3600, 2650), (9, 9, 9, 9), "RGBA", method=0),
    ),
    "avif bomb": ("image/avif", make_image("AVIF", (4000, 3200), speed=10)),
}


HAS_TRIM = hasattr(ctypes.CDLL(None), "malloc_trim")
LIMITS = {
    "bomb": "pixels: the limit is 30000000 for an image like this. Resize it.",
    "smaller bomb": "pixels: the limit is 30000000 for an image like this. Resize it.",
    "long bomb": "pixels: the limit is 30000000 for an image like this. Resize it.",
    "gif bomb": "pixels: the limit is 967741 for an image like this. Resize it.",
    "gif that grows": "pixels: the limit is 30000000 for an image like this. Resize it.",
    "gif of large frames": "pixels: the limit is 1500000 for an image like this. Resize it.",
    "jpeg of many scans": "scans: the limit is 100.",
    "bomb of tiny frames": "frames: the limit is 1000.",
    "webp bomb": "pixels: the limit is 9000000 for an image like this. Resize it.",
    "webp bomb to see through": "pixels: the limit is 9000000 for an image like this. Resize it.",
    "avif bomb": "pixels: the limit is 9000000 for an image like this. Resize it.",
}


@pytest.mark.parametrize("kind", FILES)
def test_rejects_in_a_request(alice, files, kind, database):
    media_type, data = FILES[kind]

    response = alice.post(
        "/movies", json={"title": "Alien", "imageUrl": data_url(data, media_type)}
    )

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["imageUrl"]
    assert files() == []
    assert database.execute("SELECT * FROM images") == []
    assert alice.get("/movies").json["items"] == []


@pytest.mark.parametrize("kind", FILES)
def test_rejects_as_an_upload(alice, client, files, kind, database):
    media_type, data = FILES[kind]
    permission = request_upload(alice, data, media_type)

    response = client.put(path_of(permission["uploadUrl"]), data=data)

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["contentType"]
    assert files() == []
    assert database.execute("SELECT * FROM images") == []
    assert client.get(path_of(permission["imageUrl"])).status_code == 404


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_rejects_a_file_that_breaks_off(alice, files, name, share):
    image = Image.effect_noise((200, 150), 90).convert("RGB")
    out = BytesIO()
    image.save(out, name)
    whole = out.getvalue()

    response = alice.post(
        "/movies",
        json={
            "title": "Alien",
            "imageUrl": data_url(whole[: int(len(whole) * share)], TYPES[name]),
        },
    )

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["imageUrl"]
    assert files() == []


def test_what_is_kept_holds_pixels_alone(alice, client, files):
    sent = make_image("PNG") + b"PK\x03\x04 an archive behind it"

    response = alice.post("/movies", json={"title": "Alien", "imageUrl": data_url(sent)})

    assert response.status_code == 201
    assert b"archive" not in client.get(path_of(response.json["imageUrl"])).data


@pytest.mark.parametrize("kind", LIMITS)
def test_names_the_limit(alice, kind):
    media_type, data = FILES[kind]

    response = alice.post(
        "/movies", json={"title": "Alien", "imageUrl": data_url(data, media_type)}
    )

    assert response.status_code == 400
    assert response.json["error"]["message"] == f"imageUrl: The image has too many {LIMITS[kind]}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "most"), [("JPEG", 11), ("PNG", 11), ("GIF", 11), ("WEBP", 37), ("AVIF", 37)]
)
def test_the_memory_of_a_pixel_is_bounded(name, most):
    noise, out = Image.effect_noise((2400, 2000), 90), BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.merge("RGB", [noise] * 3).save(out, name, icc_profile=profile)
    command = [sys.executable, "-c", MEASURE, TYPES[name]]

    run = subprocess.run(command, input=out.getvalue(), stdout=subprocess.PIPE, check=True)

    assert int(run.stdout) < most * 2400 * 2000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "AVIF"])
def test_the_memory_of_a_frame_is_bounded(name):
    frames = [Image.effect_noise((1000, 1000), 90).convert("RGBA") for _ in range(3)]
    out, command = BytesIO(), [sys.executable, "-c", MEASURE, TYPES[name]]
    frames[0].save(out, name, save_all=True, append_images=frames[1:], duration=100)

    run = subprocess.run(command, input=out.getvalue(), stdout=subprocess.PIPE, check=True)

    assert int(run.stdout) < (120 + 3 * 8) * 1000 * 1000


@pytest.mark.slow
@pytest.mark.skipif(not HAS_TRIM, reason="memory is given back with glibc alone")
@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP"])
def test_memory_of_many_frames_is_given_back(name, tmp_path):
    data = make_animation(name, count=500, size=(170, 170))
    command = [sys.executable, "-c", REST, TYPES[name], str(tmp_path)]

    run = subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True)

    assert float(run.stdout) < 1.2


def test_a_search_for_scripts_takes_time_in_proportion():
    def seconds(data):
        started = process_time()
        assert ACTIVE_CONTENT.search(data) is None
        return process_time() - started

    size = 2 << 20
    plain = min(seconds(b"<svg" + b"x" * size) for _ in range(3))
    for word in (b"<svg ", b"<svg xmln", b"<svg" + b" " * 150, b"<", b"<script", b"<!doctype"):
        hostile = min(seconds(word * (size // len(word))) for _ in range(3))
        assert hostile < 10 * plain, word  # twice; it was seventeen times


def test_an_upload_of_no_bytes_is_not_permitted(alice, client):
    assert alice.post("/images", json={"contentType": "image/png", "size": 0}).status_code == 400
    permission = request_upload(alice, make_image())
    assert client.put(path_of(permission["uploadUrl"]), data=b"").status_code == 400


def test_fifty_uploads_at_once(service):
    answer = service.request(
        "POST",
        "/auth/signup",
        {"name": "Ann", "email": "ann@example.com", "password": "correct horse battery"},
    )
    token = answer.json["accessToken"]
    colours = [(number % 5 * 50, 10, 10) for number in range(50)]
    results = []

    def upload(colour):
        data = make_image("PNG", (800, 600), colour)
        wanted = {"contentType": "image/png", "size": len(data)}
        permission = service.request("POST", "/images", wanted, token).json
        address = urlsplit(permission["uploadUrl"])
        sent = service.request(
            "PUT", f"{address.path}?{address.query}", data, headers=permission["headers"]
        )
        results.append((colour, sent.status, sent.json.get("imageUrl")))

    threads = [threading.Thread(target=upload, args=(colour,)) for colour in colours]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [status for _, status, _ in results] == [201] * 50
    assert len({url for _, _, url in results}) == 5
    for url in {url for _, _, url in results}:
        answers = [service.request("GET", f"{urlsplit(url).path}?w=160") for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 200]


def test_a_body_that_does_not_end_is_cut_off(service):
    answer = service.request(
        "POST",
        "/auth/signup",
        {"name": "Ann", "email": "ann@example.com", "password": "correct horse battery"},
    )
    wanted = {"contentType": "image/png", "size": 1000}
    permission = service.request("POST", "/images", wanted, answer.json["accessToken"]).json
    address = urlsplit(permission["uploadUrl"])
    connection = HTTPConnection(address.hostname, address.port, timeout=30)
    pieces = (bytes(1000) for _ in range(500))
    try:
        connection.request(
            "PUT",
            f"{address.path}?{address.query}",
            pieces,
            encode_chunked=True,
            headers={"Transfer-Encoding": "chunked"},
        )
        response = connection.getresponse()
        assert response.status == 413
    finally:
        connection.close()
