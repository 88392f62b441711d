"""Codec: decode, sanitize and resize images."""

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

from ..api.errors import acquire_slot
from ..config import Config, current_config
from ..memory import release_memory

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
# What only a file has that wants to be taken for a page or a script as well. Not one word of few
# letters: those stand among compressed pixels by chance, and what is foreign is not written anew.
# No alternative runs past the next `<`, so that each byte is looked at a few times at most
ACTIVE_CONTENT = re.compile(
    rb"<(?:script[\s>]|\?php\s|!doctype\s|html[\s>]|body[\s>]|iframe\s|svg\s[^<>]{0,200}xmlns)"
    rb"|\AGIF8[79]a(?:/\*|=[ -~])",
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
KEPT_INFO = {"transparency", "background"}
MAX_FRAMES = 1000  # each takes its time, however small
# A progressive JPEG has some 10; one of 60 bytes more costs as much time as all the pixels do
MAX_SCANS, SCAN = 100, b"\xff\xda"
# The share of IMAGE_MAX_PIXELS that a WebP or AVIF may have, and each frame of an animation: a
# pixel takes up to 11 bytes of memory, of WebP and AVIF 37, of the frame in the encoder 120
HEAVY_SHARE, FRAME_SHARE = 0.3, 0.05
PLAIN_MODES = {"JPEG": {"L", "RGB"}, "WEBP": {"RGB", "RGBA"}, "AVIF": {"RGB", "RGBA"}}

# Pillow's own limit, which it also checks in the middle of a GIF, would else only warn
warnings.simplefilter("error", Image.DecompressionBombWarning)
# Frames stay as they are stored, rather than being painted in colours and reduced again
GifImagePlugin.LOADING_STRATEGY = GifImagePlugin.LoadingStrategy.RGB_AFTER_DIFFERENT_PALETTE_ONLY


class ImageError(Exception):
    """The file is no picture that can be kept; the message says why, fit to show to a person."""


class SanitizedImage(NamedTuple):
    """A picture that holds pixels and nothing else."""

    data: bytes
    media_type: str

    @property
    def key(self) -> str:
        """Return the SHA-256 of the bytes, in hexadecimal digits."""
        return hashlib.sha256(self.data).hexdigest()


def sanitize_image(file: BinaryIO, media_type: str) -> SanitizedImage:
    """Decode the whole file and return it written anew: no place, no camera, no foreign bytes.

    Raise ImageError for what is no picture of that type, or has too many pixels in its frames.
    """
    max_pixels = current_config().image_max_pixels
    with decode_slot():
        if ACTIVE_CONTENT.search(data := file.read()):
            raise ImageError("The file contains a script or an HTML page.")
        try:
            return _decode(data, media_type, max_pixels)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ImageError(_too_many_pixels(max_pixels)) from error
        except ImageError:
            raise
        except Exception as error:  # decoders raise whatever hostile bytes drive them to
            raise ImageError(f"Not a whole picture: give {_format_names()}.") from error


def make_thumbnail(file: BinaryIO, width: int) -> bytes:
    """Return the picture (its first frame) at most that wide, as WebP."""
    with Image.open(file, formats=list(TYPES.keys() - {"MPO"})) as image:
        image.draft("RGB", (width, max(1, width * image.height // image.width)))
        still = _in_mode(image, "WEBP")
        # WebP has a greatest height, and nobody needs a ribbon
        still.thumbnail((width, 4 * width), Image.Resampling.LANCZOS)
        out = BytesIO()
        still.save(out, "WEBP", quality=80, method=4)
    return out.getvalue()


@contextmanager
def decode_slot() -> Iterator[None]:
    """Wait for a place: each decoded picture takes its own memory, many must queue, not swap."""
    with acquire_slot(
        _queue(current_config()), PATIENCE, "Too many images are being processed. Please try again."
    ):
        try:
            yield
        finally:
            release_memory()


@lru_cache(maxsize=8)
def _queue(config: Config) -> BoundedSemaphore:
    return BoundedSemaphore(config.image_concurrency)


def _decode(data: bytes, media_type: str, max_pixels: int) -> SanitizedImage:
    with Image.open(BytesIO(data), formats=list(FORMATS.values())) as image:
        found = TYPES[image.format or ""]
        if found != media_type:
            raise ImageError(f"The file is {found}, not {media_type}.")
        name = FORMATS[found]
        # The second picture of a phone's JPEG is no second frame
        count = 1 if name == "JPEG" else getattr(image, "n_frames", 1)
        if name == "JPEG" and data.count(SCAN) > MAX_SCANS:
            raise ImageError(f"The image has too many scans: the limit is {MAX_SCANS}.")
        if count > MAX_FRAMES:
            raise ImageError(f"The image has too many frames: the limit is {MAX_FRAMES}.")
        max_size = _max_size(name, count, max_pixels)
        _check_pixels(image, max_size)
        out = BytesIO()
        if count == 1:
            still = _still(image, name)
        else:
            _save_frames(image, name, count, max_size, out)
    if count == 1:
        del image  # it and its decoder take as much memory as the encoder will
        still.save(out, name, **OPTIONS[name])
    return SanitizedImage(out.getvalue(), found)


def _max_size(name: str, count: int, max_pixels: int) -> int:
    """Return how many pixels each frame may have: formats differ in the memory they take."""
    if count > 1:
        return int(max_pixels * min(FRAME_SHARE, 1 / count))
    return int(max_pixels * HEAVY_SHARE) if name in {"WEBP", "AVIF"} else max_pixels


def _check_pixels(image: Image.Image, max_size: int) -> None:
    """Reject before decoding; a bomb is small until then."""
    if image.width * image.height > max_size:
        raise ImageError(_too_many_pixels(max_size))


def _too_many_pixels(limit: int) -> str:
    return f"The image has too many pixels: the limit is {limit} for an image like this."


def _still(image: Image.Image, name: str) -> Image.Image:
    """Return the pixels, upright and in the colours every screen knows; it uses up the image."""
    profile = image.info.get("icc_profile")
    ImageOps.exif_transpose(image, in_place=True)
    if profile and image.mode in {"RGB", "RGBA", "CMYK"}:
        image = _in_srgb(image, profile)
    return _in_mode(image, name)


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    mode = None if image.mode == "CMYK" else image.mode
    try:
        source, target = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(
            image, source, target, outputMode=mode or "RGB", inPlace=mode is not None
        )
    except (ImageCms.PyCMSError, OSError):
        return image  # a broken profile says nothing about the colours
    return converted or image


def _in_mode(image: Image.Image, name: str) -> Image.Image:
    """Return a copy that the format can hold, without its comments."""
    wanted = PLAIN_MODES.get(name)
    if wanted and image.mode not in wanted:
        if image.mode.startswith("I"):
            image = image.point(lambda value: value / 256)  # convert would clip 16 bits to 8
            image.info.pop("transparency", None)  # is the name of a shade of 16 bits
        sees_through = name != "JPEG" and image.has_transparency_data
        copy = image.convert("RGBA" if sees_through else "RGB")
    else:
        copy = image.copy()
    copy.info = {key: value for key, value in copy.info.items() if key in KEPT_INFO}
    return copy


def _save_frames(image: Image.Image, name: str, count: int, max_size: int, out: BytesIO) -> None:
    options = {key: value for key, value in image.info.items() if key == "loop"}
    if name == "PNG":
        options["default_image"] = image.info.get("default_image", False)
    frames, durations = [], []
    for number in range(count):
        image.seek(number)
        _check_pixels(image, max_size)  # a frame of a GIF can be larger than the first
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


def _format_names() -> str:
    return f"{', '.join(NAMES[:-1])} or {NAMES[-1]}"
