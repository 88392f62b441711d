"""Malicious image files are rejected with a reason and not stored."""

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

pytestmark = pytest.mark.only_on("sqlite")  # what is tested does not depend on the database


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width, height):
    """Return a valid PNG of that size in a few kilobytes."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    pixels = zlib.compress(bytes((width // 8 + 1) * height), 9)
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def gif_bomb(count):
    """Return a GIF of 1000 x 1000 pixels with many small frames."""
    frames = [Image.new("1", (1000, 1000), number % 2) for number in range(count)]
    out = BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    return out.getvalue()


def growing_gif():
    """Return a GIF whose second frame declares a width of 60000 pixels."""
    data = make_animation(count=2)
    at = data.rindex(b"\x2c")
    return data[:at] + b"\x2c" + struct.pack("<HHHH", 0, 0, 60000, 60000) + data[at + 9 :]


def multi_scan_jpeg():
    """Return a small JPEG that contains its last, full-size scan 101 times."""
    data = make_image("JPEG", (800, 600), mode="L", progressive=True)
    last, end = data.rindex(b"\xff\xc4"), data.rindex(b"\xff\xd9")
    assert b"\xff\xda" in data[last:]
    return data[:end] + data[last:end] * 100 + data[end:]


PEAK_MEMORY = """
import sys
from movies_api.images.codec import _decode
def peak():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
data, before = sys.stdin.buffer.read(), peak()
_decode(data, 30_000_000)
print(peak() - before)
"""


RETAINED_MEMORY = """
import sys
from io import BytesIO
from flask import Flask
from PIL import Image
from movies_api.config import Config
from movies_api.images.codec import sanitize_image
def resident_memory():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
app, small = Flask("movies"), BytesIO()
app.extensions["movies_api"] = Config.from_environ({"INSTANCE_DIR": sys.argv[2]})
Image.new("RGB", (40, 30)).save(small, "PNG")
small.seek(0)
data = sys.stdin.buffer.read()
with app.app_context():
    sanitize_image(small)
    before = resident_memory()
    sanitize_image(BytesIO(data))
print(resident_memory() / before)
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
    "gif with trailing script": ("image/gif", make_image("GIF") + SCRIPT),
    "gif with embedded script": ("image/gif", make_image("GIF", comment=SCRIPT)),
    "gif that is also javascript": (
        "image/gif",
        b"GIF89a/*" + make_image("GIF")[8:] + b"*/=1;alert(1)//",
    ),
    "png with html": (
        "image/png",
        make_image()[:-12] + chunk(b"tEXt", b"x\0<html >") + make_image()[-12:],
    ),
    "jpeg with php": ("image/jpeg", make_image("JPEG", comment=b"<?php system($_GET[0]); ?>")),
    "header only": ("image/png", make_image()[:33]),
    "bomb": ("image/png", png_bomb(20000, 20000)),
    "smaller bomb": ("image/png", png_bomb(10000, 10000)),
    "long bomb": ("image/png", png_bomb(8, 2**24)),
    "gif bomb": ("image/gif", gif_bomb(31)),
    "gif with a growing frame": ("image/gif", growing_gif()),
    "jpeg with many scans": ("image/jpeg", multi_scan_jpeg()),
    "gif with large frames": ("image/gif", make_animation(count=2, size=(1500, 1001))),
    "gif with many tiny frames": ("image/gif", make_animation(count=1001, size=(2, 1))),
    "webp bomb": ("image/webp", make_image("WEBP", (4000, 3200), method=0)),
    "transparent webp bomb": (
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
    "gif with a growing frame": "pixels: the limit is 30000000 for an image like this. Resize it.",
    "gif with large frames": "pixels: the limit is 1500000 for an image like this. Resize it.",
    "jpeg with many scans": "scans: the limit is 100.",
    "gif with many tiny frames": "frames: the limit is 1000.",
    "webp bomb": "pixels: the limit is 9000000 for an image like this. Resize it.",
    "transparent webp bomb": "pixels: the limit is 9000000 for an image like this. Resize it.",
    "avif bomb": "pixels: the limit is 9000000 for an image like this. Resize it.",
}


@pytest.mark.parametrize("kind", FILES)
def test_malicious_data_url_returns_400(alice, files, kind, database):
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
def test_malicious_upload_returns_400(alice, client, files, kind, database):
    media_type, data = FILES[kind]
    upload = request_upload(alice, data, media_type)

    response = client.put(path_of(upload["uploadUrl"]), data=data)

    assert response.status_code == 400
    assert list(response.json["error"]["details"]) == ["contentType"]
    assert files() == []
    assert database.execute("SELECT * FROM images") == []
    assert client.get(path_of(upload["imageUrl"])).status_code == 404


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_truncated_image_returns_400(alice, files, name, share):
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


def test_stored_image_contains_only_pixels(alice, client, files):
    sent = make_image("PNG") + b"PK\x03\x04 an archive behind it"

    response = alice.post("/movies", json={"title": "Alien", "imageUrl": data_url(sent)})

    assert response.status_code == 201
    assert b"archive" not in client.get(path_of(response.json["imageUrl"])).data


@pytest.mark.parametrize("kind", LIMITS)
def test_image_over_a_limit_returns_400_with_the_limit(alice, kind):
    media_type, data = FILES[kind]

    response = alice.post(
        "/movies", json={"title": "Alien", "imageUrl": data_url(data, media_type)}
    )

    assert response.status_code == 400
    assert response.json["error"]["message"] == f"imageUrl: The image has too many {LIMITS[kind]}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "limit"), [("JPEG", 11), ("PNG", 11), ("GIF", 11), ("WEBP", 37), ("AVIF", 37)]
)
def test_memory_per_pixel_is_bounded(name, limit):
    noise, out = Image.effect_noise((2400, 2000), 90), BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.merge("RGB", [noise] * 3).save(out, name, icc_profile=profile, speed=10, method=0)
    command = [sys.executable, "-c", PEAK_MEMORY, TYPES[name]]

    run = subprocess.run(command, input=out.getvalue(), stdout=subprocess.PIPE, check=True)

    assert int(run.stdout) < limit * 2400 * 2000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "AVIF"])
def test_memory_per_frame_is_bounded(name):
    frames = [Image.effect_noise((1000, 1000), 90).convert("RGBA") for _ in range(3)]
    out, command = BytesIO(), [sys.executable, "-c", PEAK_MEMORY, TYPES[name]]
    frames[0].save(
        out, name, save_all=True, append_images=frames[1:], duration=100, speed=10, method=0
    )

    run = subprocess.run(command, input=out.getvalue(), stdout=subprocess.PIPE, check=True)

    assert int(run.stdout) < (120 + 3 * 8) * 1000 * 1000


@pytest.mark.slow
@pytest.mark.skipif(not HAS_TRIM, reason="memory is released only with glibc")
@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP"])
def test_memory_of_many_frames_is_released(name, tmp_path):
    data = make_animation(name, count=500, size=(170, 170))
    command = [sys.executable, "-c", RETAINED_MEMORY, TYPES[name], str(tmp_path)]

    run = subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True)

    assert float(run.stdout) < 1.2


@pytest.mark.slow
def test_script_detection_takes_linear_time():
    def seconds(data):
        started = process_time()
        assert ACTIVE_CONTENT.search(data) is None
        return process_time() - started

    size = 2 << 20
    plain = min(seconds(b"<svg" + b"x" * size) for _ in range(3))
    for word in (b"<svg ", b"<svg xmln", b"<svg" + b" " * 150, b"<", b"<script", b"<!doctype"):
        hostile = min(seconds(word * (size // len(word))) for _ in range(3))
        assert hostile < 10 * plain, word  # about 2; a quadratic search took 17


def test_empty_upload_returns_400(alice, client):
    assert alice.post("/images", json={"contentType": "image/png", "size": 0}).status_code == 400
    upload = request_upload(alice, make_image())
    assert client.put(path_of(upload["uploadUrl"]), data=b"").status_code == 400


def test_fifty_concurrent_uploads_succeed(service):
    signup = service.request(
        "POST",
        "/auth/signup",
        {"name": "Ann", "email": "ann@example.com", "password": "correct horse battery"},
    )
    token = signup.json["accessToken"]
    colours = [(number % 5 * 50, 10, 10) for number in range(50)]
    results = []

    def send_image(colour):
        data = make_image("PNG", (800, 600), colour)
        wanted = {"contentType": "image/png", "size": len(data)}
        upload = service.request("POST", "/images", wanted, token).json
        address = urlsplit(upload["uploadUrl"])
        sent = service.request(
            "PUT", f"{address.path}?{address.query}", data, headers=upload["headers"]
        )
        results.append((colour, sent.status, sent.json.get("imageUrl")))

    threads = [threading.Thread(target=send_image, args=(colour,)) for colour in colours]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [status for _, status, _ in results] == [201] * 50
    assert len({url for _, _, url in results}) == 5
    for url in {url for _, _, url in results}:
        responses = [service.request("GET", f"{urlsplit(url).path}?w=160") for _ in range(2)]
        assert [response.status for response in responses] == [200, 200]


def test_endless_upload_returns_413(service):
    signup = service.request(
        "POST",
        "/auth/signup",
        {"name": "Ann", "email": "ann@example.com", "password": "correct horse battery"},
    )
    wanted = {"contentType": "image/png", "size": 1000}
    upload = service.request("POST", "/images", wanted, signup.json["accessToken"]).json
    address = urlsplit(upload["uploadUrl"])
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
