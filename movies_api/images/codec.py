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

from ..api.errors import Message, acquire_slot
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
SLOT_TIMEOUT = 15  # seconds: less than the response timeout of routers
# Content of polyglot files, which are also a page or a script. Short words are omitted: compressed
# pixels contain them by chance, and encoding drops foreign bytes anyway. No alternative runs past
# the next `<`, so that each byte is scanned only a few times
ACTIVE_CONTENT = re.compile(
    rb"<(?:script[\s>]|\?php\s|!doctype\s|html[\s>]|body[\s>]|iframe\s|svg\s[^<>]{0,200}xmlns)"
    rb"|\AGIF8[79]a(?:/\*|=[ -~])",
    re.IGNORECASE,
)
# Settings that take two to three times as long save less than 10% of the bytes
OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 90},
    "PNG": {"compress_level": 3},
    "WEBP": {"quality": 90, "method": 2},
    "GIF": {},
    "AVIF": {"quality": 80, "speed": 10},
}
KEPT_INFO = {"transparency", "background"}
MAX_FRAMES = 1000  # each takes time, however small
# A progressive JPEG has about 10; each further scan, of 60 bytes, takes as long as all the pixels
MAX_SCANS, SCAN = 100, b"\xff\xda"
# Shares of IMAGE_MAX_PIXELS for a WebP or AVIF, and for each frame of an animation: a pixel uses
# up to 11 bytes of memory, in WebP and AVIF 37, in the frame being encoded 120
HEAVY_SHARE, FRAME_SHARE = 0.3, 0.05
PLAIN_MODES = {"JPEG": {"L", "RGB"}, "WEBP": {"RGB", "RGBA"}, "AVIF": {"RGB", "RGBA"}}

# Pillow's own limit, which it also checks within a GIF, only warns by default
warnings.simplefilter("error", Image.DecompressionBombWarning)
# Keep frames in their palette instead of converting them to RGB and quantizing them again
GifImagePlugin.LOADING_STRATEGY = GifImagePlugin.LoadingStrategy.RGB_AFTER_DIFFERENT_PALETTE_ONLY


# ISO media with a HEIC brand: size, type, brand
HEIC = re.compile(rb".{4}ftyp(?:hei[cfmsvx]|hev[cmsx]|mif1|msf1)", re.DOTALL)


class ImageError(Exception):
    """The file is not an acceptable image; the message says why and is safe for clients."""


class SanitizedImage(NamedTuple):
    """An encoded image without metadata."""

    data: bytes
    media_type: str

    @property
    def key(self) -> str:
        """Return the SHA-256 of the bytes, in hexadecimal digits."""
        return hashlib.sha256(self.data).hexdigest()


def sanitize_image(file: BinaryIO) -> SanitizedImage:
    """Decode the file and encode it again without location, camera data or foreign bytes.

    Raise ImageError if it is not an image or exceeds a limit.
    """
    max_pixels = current_config().image_max_pixels
    with decode_slot():
        if ACTIVE_CONTENT.search(data := file.read()):
            raise ImageError("The file contains a script or an HTML page.")
        try:
            return _decode(data, max_pixels)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ImageError(_too_many_pixels(max_pixels)) from error
        except ImageError:
            raise
        except Exception as error:  # hostile bytes make decoders raise anything
            if HEIC.match(data):
                raise ImageError(
                    "The image is HEIC, which browsers do not show. Save it as JPEG; on an iPhone, "
                    "choose Settings > Camera > Formats > Most Compatible."
                ) from error
            raise ImageError(f"The file is not a valid image. Use {_format_names()}.") from error


def make_thumbnail(file: BinaryIO, width: int) -> bytes:
    """Return the first frame as a WebP of at most that width in pixels."""
    with Image.open(file, formats=list(TYPES.keys() - {"MPO"})) as image:
        image.draft("RGB", (width, max(1, width * image.height // image.width)))
        still = _in_mode(image, "WEBP")
        # WebP limits the height
        still.thumbnail((width, 4 * width), Image.Resampling.LANCZOS)
        out = BytesIO()
        still.save(out, "WEBP", quality=80, method=4)
    return out.getvalue()


@contextmanager
def decode_slot() -> Iterator[None]:
    """Wait for a decoding slot: slots limit the memory that decoded images take in total."""
    with acquire_slot(
        _queue(current_config()),
        SLOT_TIMEOUT,
        "Too many images are being processed. Please try again.",
    ):
        try:
            yield
        finally:
            release_memory()


@lru_cache(maxsize=8)
def _queue(config: Config) -> BoundedSemaphore:
    return BoundedSemaphore(config.image_concurrency)


def _decode(data: bytes, max_pixels: int) -> SanitizedImage:
    with Image.open(BytesIO(data), formats=list(FORMATS.values())) as image:
        found = TYPES[image.format or ""]
        name = FORMATS[found]
        # The second image that phones add to a JPEG is not a frame
        count = 1 if name == "JPEG" else getattr(image, "n_frames", 1)
        if name == "JPEG" and data.count(SCAN) > MAX_SCANS:
            raise ImageError(_too_large(f"scans: the limit is {MAX_SCANS}."))
        if count > MAX_FRAMES:
            raise ImageError(_too_large(f"frames: the limit is {MAX_FRAMES}."))
        max_size = _max_size(name, count, max_pixels)
        _check_pixels(image, max_size)
        out = BytesIO()
        if count == 1:
            still = _still(image, name)
        else:
            _save_frames(image, name, count, max_size, out)
    if count == 1:
        del image  # frees as much memory as the encoder needs
        still.save(out, name, **OPTIONS[name])
    return SanitizedImage(out.getvalue(), found)


def _max_size(name: str, count: int, max_pixels: int) -> int:
    """Return the maximum pixels per frame, which depends on the memory the format needs."""
    if count > 1:
        return int(max_pixels * min(FRAME_SHARE, 1 / count))
    return int(max_pixels * HEAVY_SHARE) if name in {"WEBP", "AVIF"} else max_pixels


def _check_pixels(image: Image.Image, max_size: int) -> None:
    """Reject a decompression bomb before decoding it."""
    if image.width * image.height > max_size:
        raise ImageError(_too_many_pixels(max_size))


def _too_many_pixels(limit: int) -> Message:
    return _too_large(f"pixels: the limit is {limit} for an image like this. Resize it.")


def _too_large(limit: str) -> Message:
    return Message(f"The image has too many {limit}", "too_large")


def _still(image: Image.Image, name: str) -> Image.Image:
    """Return the pixels upright and in sRGB; this modifies the image."""
    profile = image.info.get("icc_profile")
    ImageOps.exif_transpose(image, in_place=True)
    if profile and image.mode == "P":
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
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
        return image  # ignore a broken profile
    return converted or image


def _in_mode(image: Image.Image, name: str) -> Image.Image:
    """Return a copy in a mode that the format supports, without metadata."""
    wanted = PLAIN_MODES.get(name)
    if wanted and image.mode not in wanted:
        if image.mode.startswith("I"):
            image = image.point(lambda value: value / 256)  # convert() would clip 16 bits to 8
            image.info.pop("transparency", None)  # refers to a 16-bit value
        has_alpha = name != "JPEG" and image.has_transparency_data
        copy = image.convert("RGBA" if has_alpha else "RGB")
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
        _check_pixels(image, max_size)  # GIF frames can be larger than the first
        image.load()
        frames.append(_in_mode(image, name))
        durations.append(image.info.get("duration", 0))
    if name == "GIF" and any(frame.has_transparency_data for frame in frames):
        options["disposal"] = 2  # frames are complete; do not blend them with the previous one
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
