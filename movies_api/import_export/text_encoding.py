"""Text encoding: convert text files to UTF-8, with a NUL for each damaged byte."""

import codecs
from typing import IO

from .request_file import CHUNK, abort_unreadable

DAMAGED = "\0"
MARK = "movies_api.mark_damaged"
codecs.register_error(MARK, lambda error: (DAMAGED, error.end))  # type: ignore[attr-defined]


def decode_text(source: IO[bytes], target: IO[bytes]) -> str:
    """Write the text as UTF-8, without a byte order mark, and return the name of its encoding.

    A file without a byte order mark is Windows-1252 if it is not UTF-8 and has no valid UTF-8
    sequence beyond ASCII; otherwise its invalid bytes are damaged.
    """
    source.seek(0)
    start = source.read(CHUNK)
    is_utf_16 = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = start.decode("utf-16" if is_utf_16 else "utf-8-sig", "ignore")
    is_json = text.lstrip()[:1] in {"[", "{"}
    try:
        _transcode(source, target, "utf-16" if is_utf_16 and not is_json else "utf-8-sig", "strict")
    except UnicodeDecodeError:
        if is_json:
            abort_unreadable("The file is not UTF-8. Save it as JSON in UTF-8.")
        if is_utf_16:
            _transcode(source, target, "utf-16", MARK)
        elif not (
            _transcode(source, target, "utf-8-sig", MARK) or start.startswith(codecs.BOM_UTF8)
        ):
            _transcode(source, target, "cp1252", MARK)
            return "windows-1252"
    return "utf-16" if is_utf_16 else "utf-8"


def _transcode(source: IO[bytes], target: IO[bytes], encoding: str, errors: str) -> bool:
    """Write the text as UTF-8; return whether it has characters beyond ASCII."""
    source.seek(0)
    target.seek(0)
    target.truncate()
    decoder, is_ascii = codecs.getincrementaldecoder(encoding)(errors), True
    while chunk := source.read(CHUNK):
        text = decoder.decode(chunk)
        is_ascii = is_ascii and text.isascii()
        target.write(text.encode())
    target.write(decoder.decode(b"", final=True).encode())
    target.seek(0)
    return not is_ascii
