"""Pictures: what is one, cleaned of all that is not pixels, and its thumbnails."""

import hashlib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from threading import BoundedSemaphore
from typing import Any, BinaryIO, NamedTuple

from PIL import GifImagePlugin, Image, ImageCms, ImageOps, features

from ..config import Config, settings
from ..errors import refuse

FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/avif": "AVIF",
}
if not features.check("avif"):
    del FORMATS["image/avif"]
TYPES = {name: media_type for media_type, name in FORMATS.items()} | {"MPO": "image/jpeg"}
NAMES = ("JPEG", "PNG", "WebP", "GIF", "AVIF")[: len(FORMATS)]
WIDTHS = (160, 320, 640)
PATIENCE = 15  # seconds: less than routers wait for an answer
# What only a file has that wants to be taken for a page or a script as well
ACTIVE = re.compile(
    rb"<(?:script|\?php|!doctype|html|iframe|body|svg)[\s>]|\AGIF8[79]a(?:/\*|=[ -~])",
    re.IGNORECASE,
)
# Of the settings that cost two to three times the time none saves a tenth of the bytes
OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 90},
    "PNG": {"compress_level": 3},
    "WEBP": {"quality": 90, "method": 2},
    "GIF": {},
    "AVIF": {"quality": 80, "speed": 10},
}
TOO_MANY = "The picture has too many pixels, or too many frames of so many pixels."
SPEAKS_OF_PIXELS = {"transparency", "background"}
PLAIN_MODES = {"JPEG": {"L", "RGB"}, "WEBP": {"RGB", "RGBA"}, "AVIF": {"RGB", "RGBA"}}

# Pillow's own limit, which it also checks in the middle of a GIF, would else only warn
warnings.simplefilter("error", Image.DecompressionBombWarning)
# Frames stay as they are stored, rather than being painted in colours and reduced again
GifImagePlugin.LOADING_STRATEGY = GifImagePlugin.LoadingStrategy.RGB_AFTER_DIFFERENT_PALETTE_ONLY


class PictureError(Exception):
    """The file is no picture that can be kept; the message says why, fit to show to a person."""


class Picture(NamedTuple):
    """A picture that holds pixels and nothing else."""

    data: bytes
    media_type: str

    @property
    def key(self) -> str:
        """Return the SHA-256 of the bytes, in hexadecimal digits."""
        return hashlib.sha256(self.data).hexdigest()


def clean_picture(file: BinaryIO, media_type: str) -> Picture:
    """Decode the whole file and return it written anew: no place, no camera, no foreign bytes.

    Raise PictureError for what is no picture of that type, or has too many pixels in its frames.
    """
    with one_of_few():
        if ACTIVE.search(data := file.read()):
            raise PictureError("The file holds a script or a page.")
        try:
            return _cleaned(data, media_type, settings().image_max_pixels)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise PictureError(TOO_MANY) from error
        except PictureError:
            raise
        except Exception as error:  # decoders raise whatever hostile bytes drive them to
            raise PictureError(f"Not a whole picture: give {_listed()}.") from error


def thumbnail(file: BinaryIO, width: int) -> bytes:
    """Return the picture (its first frame) at most that wide, as WebP."""
    with Image.open(file, formats=list(TYPES.keys() - {"MPO"})) as image:
        image.draft("RGB", (width, width * image.height // image.width))
        still = _in_mode(image, "WEBP")
        # WebP has a greatest height, and nobody needs a ribbon
        still.thumbnail((width, 4 * width), Image.Resampling.LANCZOS)
        out = BytesIO()
        still.save(out, "WEBP", quality=80, method=4)
    return out.getvalue()


@contextmanager
def one_of_few() -> Iterator[None]:
    """Wait for a place: each decoded picture takes its own memory, many must queue, not swap."""
    queue = _queue(settings())
    if not queue.acquire(timeout=PATIENCE):
        refuse(503, message="Too many pictures at once: retry in a moment.")
    try:
        yield
    finally:
        queue.release()


@lru_cache(maxsize=8)
def _queue(config: Config) -> BoundedSemaphore:
    return BoundedSemaphore(config.image_concurrency)


def _cleaned(data: bytes, media_type: str, max_pixels: int) -> Picture:
    with Image.open(BytesIO(data), formats=list(FORMATS.values())) as image:
        found = TYPES[image.format or ""]
        if found != media_type:
            raise PictureError(f"The file is {found}, not {media_type}.")
        name = FORMATS[found]
        # The second picture of a phone's JPEG is no second frame
        count = 1 if name == "JPEG" else getattr(image, "n_frames", 1)
        _check_pixels(image, count, max_pixels)
        out = BytesIO()
        if count == 1:
            _still(image, name).save(out, name, **OPTIONS[name])
        else:
            _save_frames(image, name, count, max_pixels, out)
    return Picture(out.getvalue(), found)


def _check_pixels(image: Image.Image, count: int, max_pixels: int) -> None:
    """Refuse before decoding; a bomb is small until then."""
    if image.width * image.height * count > max_pixels:
        raise PictureError(TOO_MANY)


def _still(image: Image.Image, name: str) -> Image.Image:
    """Return the pixels, upright and in the colours every screen knows."""
    profile = image.info.get("icc_profile")
    upright = ImageOps.exif_transpose(image)
    if profile and upright.mode in {"RGB", "RGBA", "CMYK"}:
        upright = _in_srgb(upright, profile)
    return _in_mode(upright, name)


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        source, target = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target, outputMode=mode)
    except (ImageCms.PyCMSError, OSError):
        return image  # a broken profile says nothing about the colours
    return converted or image


def _in_mode(image: Image.Image, name: str) -> Image.Image:
    """Return a copy that the format can hold, without its comments."""
    wanted = PLAIN_MODES.get(name)
    if wanted and image.mode not in wanted:
        sees_through = name != "JPEG" and image.has_transparency_data
        copy = image.convert("RGBA" if sees_through else "RGB")
    else:
        copy = image.copy()
    copy.info = {key: value for key, value in copy.info.items() if key in SPEAKS_OF_PIXELS}
    return copy


def _save_frames(image: Image.Image, name: str, count: int, max_pixels: int, out: BytesIO) -> None:
    options: dict[str, Any] = {"loop": image.info.get("loop", 1)}
    if name == "PNG":
        options["default_image"] = image.info.get("default_image", False)
    frames, durations = [], []
    for number in range(count):
        image.seek(number)
        _check_pixels(image, count, max_pixels)  # a frame of a GIF can be larger than the first
        image.load()
        frames.append(_in_mode(image, name))
        durations.append(image.info.get("duration", 0))
    if name == "GIF" and any(frame.has_transparency_data for frame in frames):
        options["disposal"] = 2  # frames are whole; nothing of the one before shines through
    frames[0].save(
        out,
        name,
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        **OPTIONS[name],
        **options,
    )


def _listed() -> str:
    return f"{', '.join(NAMES[:-1])} or {NAMES[-1]}"
