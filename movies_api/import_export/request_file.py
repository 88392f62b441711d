"""Request file: raw or in a form, spooled to disk."""

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
MAX_FORM_PARTS = 20
# Bytes of one text field, and between parts; files go to disk
MAX_FORM_MEMORY = 1 << 20
ONE_FILE = Message("Send one file with a filename in the form field `file`.", "required")


def abort_unreadable(message: str) -> NoReturn:
    """Abort: the file cannot be read."""
    abort_validation({"file": [message]})


@contextmanager
def spool_request_file() -> Iterator[tuple[IO[bytes], str]]:
    """Yield the file of this request, and its name in a form or an empty string."""
    limit = current_config().import_max_bytes
    # Plus one: a stream of exactly the limit raises too
    request.max_content_length = limit + 1
    with TemporaryFile() as target, ExitStack() as parts:
        try:
            if request.mimetype == "multipart/form-data":
                # plus the other parts of the form
                request.max_content_length += current_config().max_body_bytes
                source, name = _form_file(parts)
            else:
                source, name = request.stream, ""
            copyfileobj(source, target, CHUNK)
        except RequestEntityTooLarge:
            _reject_size(limit)
        if target.tell() > limit:
            _reject_size(limit)
        yield target, name


def _reject_size(limit: int) -> NoReturn:
    abort_with(413, message=f"The file is too large: at most {limit} bytes are accepted. Split it.")


def _form_file(parts: ExitStack) -> tuple[IO[bytes], str]:
    """Return the only file of a form and its name; `parts` closes its temporary files."""
    parser = FormDataParser(
        lambda *_, **__: parts.enter_context(TemporaryFile()),  # noqa: SIM115  its own stay open
        MAX_FORM_MEMORY,
        max_form_parts=MAX_FORM_PARTS,
    )
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
    return found[0].stream, found[0].filename or ""
