"""Receiving: the file of a request, raw or in a form, becomes text on disk, in UTF-8."""

from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from shutil import copyfileobj
from tempfile import TemporaryFile
from threading import BoundedSemaphore
from typing import IO, NoReturn

from flask import request
from werkzeug.formparser import FormDataParser

from ..config import settings
from ..errors import in_turn, refuse, refuse_fields

CHUNK = 1 << 16
MOST_PARTS = 20  # of a form
PATIENCE = 15  # seconds: less than routers wait for an answer
SAVE_AS = "save it as CSV or JSON, in UTF-8."
# Each takes its own memory, and all of them one processor: many must queue
_turn = BoundedSemaphore(1)


def unreadable(message: str) -> NoReturn:
    """End the request: the file is none that can be read."""
    refuse_fields({"file": [message]})


@contextmanager
def received_file() -> Iterator[IO[bytes]]:
    """Give the file of this request, without a byte order mark, for as long as it is needed."""
    with TemporaryFile() as raw, TemporaryFile() as text:
        _receive(raw)
        with in_turn(_turn, PATIENCE, "Too many imports at once: retry in a moment."):
            _decode(raw, text)
            yield text


def _receive(target: IO[bytes]) -> None:
    limit = settings().import_max_bytes
    # One too many: a stream of exactly the limit ends in an error, too
    request.max_content_length = limit + 1
    if request.mimetype == "multipart/form-data":
        request.max_content_length += settings().max_body_bytes  # for what is around the file
        with ExitStack() as parts:
            copyfileobj(_file_of_form(parts), target, CHUNK)
    else:
        copyfileobj(request.stream, target, CHUNK)
    if target.tell() > limit:
        refuse(413, message=f"The file is too large: at most {limit} bytes are taken. Divide it.")


def _file_of_form(parts: ExitStack) -> IO[bytes]:
    """Return the file that a form sends, and nothing else; `parts` closes what was begun."""

    def begin_part(*_: object, **__: object) -> IO[bytes]:  # werkzeug's own stay open at a fault
        return parts.enter_context(TemporaryFile())

    parser = FormDataParser(begin_part, CHUNK, max_form_parts=MOST_PARTS)
    kind, length = request.mimetype, request.content_length
    _, form, files = parser.parse(request.stream, kind, length, request.mimetype_params)
    # A part may lack a name
    fields = {name or "" for name in (*form, *files)} - {"file"}
    if fields:
        refuse_fields({name: ["There is no such field."] for name in sorted(fields)})
    if len(found := files.getlist("file")) != 1 or "file" in form:
        unreadable("Send one file, in the form's field `file`, with its name.")
    return found[0].stream


def _decode(source: IO[bytes], target: IO[bytes]) -> None:
    """Write what is UTF-8, or else Windows-1252, as UTF-8."""
    if source.tell() == 0:
        unreadable("The file is empty.")
    try:
        _copy(source, target, "utf-8-sig")
    except UnicodeDecodeError:
        try:
            _copy(source, target, "cp1252")
        except UnicodeDecodeError:
            unreadable(f"The file is neither UTF-8 nor Windows-1252: {SAVE_AS}")


def _copy(source: IO[bytes], target: IO[bytes], encoding: str) -> None:
    source.seek(0)
    target.seek(0)
    target.truncate()
    decoder = getincrementaldecoder(encoding)()
    while chunk := source.read(CHUNK):
        if (place := chunk.find(b"\0")) >= 0:
            place += source.tell() - len(chunk)
            unreadable(f"Byte {place + 1} is a NUL, which no text has: {SAVE_AS}")
        target.write(decoder.decode(chunk).encode())
    target.write(decoder.decode(b"", final=True).encode())
    target.seek(0)
