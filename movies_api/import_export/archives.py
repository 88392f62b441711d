"""Archives: the files in the ZIP exports of Letterboxd and Trakt.

Their sizes are checked before anything is unpacked; their paths only identify their content.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from io import SEEK_END
from shutil import copyfileobj
from tempfile import SpooledTemporaryFile
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from ..config import current_config
from .request_file import CHUNK, abort_unreadable

IN_MEMORY = 1 << 20  # bytes of a file; larger files are on disk
MAX_MEMBERS = 1000
MAX_RATIO = 100  # CSV and JSON compress to about a tenth
MAX_DIRECTORY = 1 << 20  # bytes; parsed, it needs 20 times that
END_OF_DIRECTORY, END_SIZE, ZIP64 = b"PK\5\6", 22, b"PK\6\7"
# Deleted entries, the reviews and lists of others, and files that macOS adds
IGNORED = re.compile(r"(?:^|/)(?:deleted|orphaned|__macosx)/|(?:^|/)likes/(?!films\.)|(?:^|/)\._")
# For entries of the same film and day, the later file takes precedence
ORDER = re.compile(r"(watched)|(watchlist)|(diary)|(reviews)|(ratings)|(likes)|(lists)")
ERRORS = (
    BadZipFile, EOFError, NotImplementedError, OverflowError, RuntimeError, ValueError,
    struct.error, zlib.error,
)  # fmt: skip
UNPACK = "Unpack it and send the files one by one."
DAMAGED_ZIP = "The ZIP is damaged. Download it again, or unpack it and send the files one by one."


def is_archive(file: IO[bytes]) -> bool:
    """Return whether the file is a ZIP."""
    file.seek(0)
    return file.read(4) in {b"PK\3\4", END_OF_DIRECTORY}


def iter_members(file: IO[bytes]) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Yield the name and content of each file; None for one that has no movies of the user."""
    _check_directory(file)
    try:
        archive = ZipFile(file)
    except (*ERRORS, OSError):
        abort_unreadable(DAMAGED_ZIP)
    with archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        _check_members(members)
        for member in sorted(members, key=_order):
            name = member.filename.lower()
            if IGNORED.search(name) or not name.endswith((".csv", ".json")):
                yield member.filename, None
                continue
            with SpooledTemporaryFile(IN_MEMORY) as content:
                try:
                    copyfileobj(archive.open(member), content, CHUNK)
                except ERRORS:
                    abort_unreadable(DAMAGED_ZIP)
                yield member.filename, content


def _order(member: ZipInfo) -> tuple[int, str]:
    found = ORDER.search(member.filename.lower())
    return found.lastindex or 0 if found else 0, member.filename


def _check_directory(file: IO[bytes]) -> None:
    """Abort if there are too many files, before ZipFile reads the directory."""
    file.seek(0, SEEK_END)
    file.seek(max(0, file.tell() - (1 << 16) - END_SIZE))
    end = file.read()
    place = end.rfind(END_OF_DIRECTORY)
    if place < 0 or len(end) - place < END_SIZE:
        abort_unreadable(DAMAGED_ZIP)
    entries, size = struct.unpack_from("<10xHL", end, place)
    if entries > MAX_MEMBERS or size > MAX_DIRECTORY or ZIP64 in end:
        abort_unreadable(f"The ZIP has more than {MAX_MEMBERS} files. {UNPACK}")


def _check_members(members: list[ZipInfo]) -> None:
    limit = current_config().import_max_bytes
    if len(members) > MAX_MEMBERS:
        abort_unreadable(f"The ZIP has more than {MAX_MEMBERS} files. {UNPACK}")
    if {"xl/workbook.xml", "content.xml"} & {each.filename for each in members}:
        abort_unreadable("The file is a spreadsheet. Save it as CSV in UTF-8.")
    if any(each.filename.lower().endswith(".zip") for each in members):
        abort_unreadable(f"The ZIP contains another ZIP. {UNPACK}")
    if any(each.flag_bits & 1 for each in members):
        abort_unreadable(f"The ZIP is encrypted. {UNPACK}")
    if any(each.compress_type not in {ZIP_STORED, ZIP_DEFLATED} for each in members):
        abort_unreadable(f"The ZIP uses an unsupported compression method. {UNPACK}")
    if sum(each.file_size for each in members) > limit or any(
        each.file_size > each.compress_size * MAX_RATIO + CHUNK for each in members
    ):
        abort_unreadable(
            f"The ZIP is too large when unpacked: the limit is {limit} bytes. {UNPACK}"
        )
