"""Request file: raw or in a form, spooled to disk as UTF-8."""

from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import IO, NoReturn

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from ..api.errors import Message, abort_validation, abort_with
from ..api.fields import UNKNOWN_FIELD
from ..config import current_config

CHUNK = 1 << 16
MAX_FORM_PARTS = 20  # of a form's body
# Bytes of one text field, and between parts; files go to disk
MAX_FORM_MEMORY = 1 << 20
ONE_FILE = Message("Send one file with a filename in the form field `file`.", "required")
SAVE_AS = "Save it as CSV or JSON in UTF-8."


def abort_unreadable(message: str) -> NoReturn:
    """Abort: the file cannot be read."""
    abort_validation({"file": [message]})


@contextmanager
def spool_request_file() -> Iterator[IO[bytes]]:
    """Yield the file of this request, without a byte order mark."""
    with TemporaryFile() as raw, TemporaryFile() as text:
        _spool(raw)
        _decode_text(raw, text)
        yield text


def _spool(target: IO[bytes]) -> None:
    limit = current_config().import_max_bytes
    # Plus one: a stream of exactly the limit raises too
    request.max_content_length = limit + 1
    try:
        if request.mimetype == "multipart/form-data":
            request.max_content_length += (
                current_config().max_body_bytes
            )  # for the form around the file
            with ExitStack() as parts:
                copyfileobj(_form_file(parts), target, CHUNK)
        else:
            copyfileobj(request.stream, target, CHUNK)
    except RequestEntityTooLarge:
        _reject_size(limit)
    if target.tell() > limit:
        _reject_size(limit)


def _reject_size(limit: int) -> NoReturn:
    abort_with(413, message=f"The file is too large: at most {limit} bytes are accepted. Split it.")


def _form_file(parts: ExitStack) -> IO[bytes]:
    """Return the only file of a form; `parts` closes its temporary files."""

    def begin_part(
        *_: object, **__: object
    ) -> IO[bytes]:  # werkzeug's own stay open after an error
        return parts.enter_context(TemporaryFile())

    parser = FormDataParser(begin_part, MAX_FORM_MEMORY, max_form_parts=MAX_FORM_PARTS)
    stream, kind, length = request.stream, request.mimetype, request.content_length
    try:
        _, form, files = parser.parse(stream, kind, length, request.mimetype_params)
    except RequestEntityTooLarge:
        if stream.tell() == request.max_content_length:
            raise  # not one part, but the whole body
        abort_unreadable(ONE_FILE)
    # a part may have no name
    fields = {name or "" for name in (*form, *files)} - {"file"}
    if fields:
        abort_validation({name: [UNKNOWN_FIELD] for name in sorted(fields)})
    if len(found := files.getlist("file")) != 1 or "file" in form:
        abort_unreadable(ONE_FILE)
    return found[0].stream


def _decode_text(source: IO[bytes], target: IO[bytes]) -> None:
    """Write UTF-8, or else Windows-1252, as UTF-8."""
    if source.tell() == 0:
        abort_unreadable(Message("The file is empty.", "required"))
    try:
        _transcode(source, target, "utf-8-sig")
    except UnicodeDecodeError:
        try:
            _transcode(source, target, "cp1252")
        except UnicodeDecodeError:
            abort_unreadable(f"The file is neither UTF-8 nor Windows-1252. {SAVE_AS}")


def _transcode(source: IO[bytes], target: IO[bytes], encoding: str) -> None:
    source.seek(0)
    target.seek(0)
    target.truncate()
    decoder = getincrementaldecoder(encoding)()
    while chunk := source.read(CHUNK):
        if (place := chunk.find(b"\0")) >= 0:
            place += source.tell() - len(chunk)
            abort_unreadable(f"Byte {place + 1} is a NUL character. {SAVE_AS}")
        target.write(decoder.decode(chunk).encode())
    target.write(decoder.decode(b"", final=True).encode())
    target.seek(0)
