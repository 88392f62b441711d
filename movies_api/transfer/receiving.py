"""Receiving: the file of a request, raw or in a form, becomes text on disk, in UTF-8."""

from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import IO, NoReturn

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from ..config import settings
from ..errors import refuse, refuse_fields

CHUNK = 1 << 16
MOST_PARTS = 20  # of a form
# Bytes of one text field, and of what stands between parts; a file's go to disk
MAX_FORM_MEMORY = 1 << 20
ONE_FILE = "Send one file, in the form's field `file`, with its name."
SAVE_AS = "save it as CSV or JSON, in UTF-8."


def unreadable(message: str) -> NoReturn:
    """End the request: the file is none that can be read."""
    refuse_fields({"file": [message]})


@contextmanager
def received_file() -> Iterator[IO[bytes]]:
    """Give the file of this request, without a byte order mark, for as long as it is needed."""
    with TemporaryFile() as raw, TemporaryFile() as text:
        _receive(raw)
        _decode(raw, text)
        yield text


def _receive(target: IO[bytes]) -> None:
    limit = settings().import_max_bytes
    # One too many: a stream of exactly the limit ends in an error, too
    request.max_content_length = limit + 1
    try:
        if request.mimetype == "multipart/form-data":
            request.max_content_length += settings().max_body_bytes  # for what is around the file
            with ExitStack() as parts:
                copyfileobj(_file_of_form(parts), target, CHUNK)
        else:
            copyfileobj(request.stream, target, CHUNK)
    except RequestEntityTooLarge:
        _reject_size(limit)
    if target.tell() > limit:
        _reject_size(limit)


def _reject_size(limit: int) -> NoReturn:
    refuse(413, message=f"The file is too large: at most {limit} bytes are taken. Divide it.")


def _file_of_form(parts: ExitStack) -> IO[bytes]:
    """Return the file that a form sends, and nothing else; `parts` closes what was begun."""

    def begin_part(*_: object, **__: object) -> IO[bytes]:  # werkzeug's own stay open at a fault
        return parts.enter_context(TemporaryFile())

    parser = FormDataParser(begin_part, MAX_FORM_MEMORY, max_form_parts=MOST_PARTS)
    stream, kind, length = request.stream, request.mimetype, request.content_length
    try:
        _, form, files = parser.parse(stream, kind, length, request.mimetype_params)
    except RequestEntityTooLarge:
        if stream.tell() == request.max_content_length:
            raise  # not a part, but the whole of them
        unreadable(ONE_FILE)
    # A part may lack a name
    fields = {name or "" for name in (*form, *files)} - {"file"}
    if fields:
        refuse_fields({name: ["There is no such field."] for name in sorted(fields)})
    if len(found := files.getlist("file")) != 1 or "file" in form:
        unreadable(ONE_FILE)
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
