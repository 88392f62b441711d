"""Helpers that create and upload images."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from typing import Any

from PIL import Image

TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
}


def make_image(
    name: str = "PNG",
    size: tuple[int, int] = (40, 30),
    colour: Any = "teal",
    mode: str = "RGB",
    **options: Any,
) -> bytes:
    """Return an image file of one colour."""
    out = BytesIO()
    Image.new("RGB" if mode != "RGBA" else mode, size, colour).convert(mode).save(
        out, name, **options
    )
    return out.getvalue()


def make_animation(
    name: str = "GIF", count: int = 3, size: tuple[int, int] = (20, 10), **options: Any
) -> bytes:
    """Return an animated image file with 100 ms per frame."""
    frames = [Image.new("RGB", size, (80 * number % 256, 0, 90)) for number in range(count)]
    out = BytesIO()
    options = {"loop": 0, **options}
    frames[0].save(out, name, save_all=True, append_images=frames[1:], duration=100, **options)
    return out.getvalue()


def data_url(data: bytes, media_type: str = "image/png") -> str:
    """Return a file as a data URL, like FileReader.readAsDataURL."""
    return f"data:{media_type};base64,{b64encode(data).decode()}"


def open_image(data: bytes) -> Image.Image:
    """Decode an image file."""
    image = Image.open(BytesIO(data))
    image.load()
    return image


def request_upload(client: Any, data: bytes, media_type: str = "image/png") -> dict[str, Any]:
    """Request an upload URL for the file and return the response body."""
    response = client.post("/images", json={"contentType": media_type, "size": len(data)})
    assert response.status_code == 201, response.text
    upload: dict[str, Any] = response.json
    return upload


def path_of(url: str) -> str:
    """Return a URL without its origin."""
    return url.removeprefix("http://localhost")
