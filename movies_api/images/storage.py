"""Storage: where the bytes of pictures are, in a folder of this machine or in a bucket."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from io import BufferedReader, RawIOBase
from pathlib import Path
from stat import S_ISREG
from threading import Lock
from typing import Any, BinaryIO, NamedTuple, Protocol

from flask import current_app

from ..api.errors import abort_with
from ..config import Config
from ..logs import log

CHUNK = 1 << 16
UPLOAD_TTL = timedelta(minutes=10)


class StoredFile(NamedTuple):
    """What a storage says of a name without opening it."""

    name: str
    size: int
    modified_at: datetime


class Storage(Protocol):
    """Names are `images/...` for what may be shown and `uploads/...` for what waits unseen."""

    def open(self, name: str) -> BinaryIO | None:
        """Return the bytes, to be read from any place and closed, or None."""

    def put(self, name: str, data: bytes, media_type: str) -> None:
        """Keep the bytes: all or none of them are ever seen."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove what is there of these names."""

    def names(self, prefix: str) -> Iterator[StoredFile]:
        """Give all that begins with the prefix."""

    def presign_upload(self, name: str, media_type: str, size: int) -> dict[str, Any] | None:
        """Return what a client must send, and where, to upload past us; None if it cannot."""


class Folder:
    """A folder of this machine; uploads come through the service."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, name: str) -> BinaryIO | None:
        """Return the file, or None."""
        try:
            return self._path(name).open("rb")
        except FileNotFoundError:
            return None

    def put(self, name: str, data: bytes, media_type: str) -> None:
        """Write beside the place and move there in one step."""
        with disk_errors():
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor, draft = tempfile.mkstemp(prefix=".draft-", dir=self.folder)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                Path(draft).replace(self._path(name))
            except BaseException:
                Path(draft).unlink(missing_ok=True)
                raise

    def remove(self, names: Iterable[str]) -> None:
        """Remove the files."""
        with disk_errors():
            for name in names:
                self._path(name).unlink(missing_ok=True)

    def names(self, prefix: str) -> Iterator[StoredFile]:
        """Give the files, among them drafts whose process died."""
        if prefix != "images/" or not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):
                about = path.stat()
                at = datetime.fromtimestamp(about.st_mtime, UTC)
                if S_ISREG(about.st_mode):
                    yield StoredFile(f"images/{path.name}", about.st_size, at)

    def presign_upload(self, name: str, media_type: str, size: int) -> None:
        """Return None: there is nobody but us to upload to."""

    def _path(self, name: str) -> Path:
        return self.folder / Path(name).name


class Bucket:
    """A bucket of S3 or of anything that speaks like it; uploads go straight there."""

    def __init__(self, config: Config) -> None:
        self.config, self.bucket = config, config.s3_bucket or ""
        self.lock = Lock()
        self.made: Any = None

    @property
    def client(self) -> Any:
        """Return the client, made when a process first needs it: none is shared over a fork."""
        with self.lock:
            if self.made is None:
                import boto3  # noqa: PLC0415  only who has a bucket has it
                from botocore.config import Config as Options  # noqa: PLC0415

                options = Options(
                    signature_version="s3v4",
                    connect_timeout=3,
                    read_timeout=10,
                    retries={"total_max_attempts": 2},
                    # The checksums that boto3 adds by itself are refused by many a store
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    # By the path AWS would lead browsers from one host to another
                    s3=None if self.config.s3_endpoint_url else {"addressing_style": "virtual"},
                )
                self.made = boto3.client(
                    "s3",
                    endpoint_url=self.config.s3_endpoint_url,
                    region_name=self.config.s3_region,
                    config=options,
                )
        return self.made

    def open(self, name: str) -> BinaryIO | None:
        """Return the object, read only from where it is read."""
        with _bucket_errors():
            try:
                about = self.client.head_object(Bucket=self.bucket, Key=name)
            except self.client.exceptions.ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    return None
                raise
        source = BucketFile(self.client, self.bucket, name, about["ContentLength"])
        return BufferedReader(source, CHUNK)

    def put(self, name: str, data: bytes, media_type: str) -> None:
        """Write the object, with the headers a CDN hands on."""
        with _bucket_errors():
            self.client.put_object(
                Bucket=self.bucket,
                Key=name,
                Body=data,
                ContentType=media_type,
                CacheControl="public, max-age=31536000, immutable",
            )

    def remove(self, names: Iterable[str]) -> None:
        """Remove the objects."""
        with _bucket_errors():
            for name in names:
                self.client.delete_object(Bucket=self.bucket, Key=name)

    def names(self, prefix: str) -> Iterator[StoredFile]:
        """Give the objects, a thousand at a time."""
        with _bucket_errors():
            pages = self.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
                for each in page.get("Contents", ()):
                    yield StoredFile(each["Key"], each["Size"], each["LastModified"])

    def presign_upload(self, name: str, media_type: str, size: int) -> dict[str, Any]:
        """Return a form to post, or a URL to put to; both fix the type and the size."""
        place = {"Bucket": self.bucket, "Key": name}
        seconds = round(UPLOAD_TTL.total_seconds())
        with _bucket_errors():
            if self.config.s3_upload == "put":
                bound = {**place, "ContentType": media_type, "ContentLength": size}
                url = self.client.generate_presigned_url("put_object", bound, seconds)
                return {"uploadUrl": url, "method": "PUT", "headers": {"Content-Type": media_type}}
            form = self.client.generate_presigned_post(
                **place,
                Fields={"Content-Type": media_type},
                Conditions=[
                    {"Content-Type": media_type},
                    ["content-length-range", size, size],
                ],
                ExpiresIn=seconds,
            )
        return {"uploadUrl": form["url"], "method": "POST", "fields": form["fields"]}


class BucketFile(RawIOBase):
    """An object of a bucket as a file: what is skipped is not fetched."""

    def __init__(self, client: Any, bucket: str, name: str, size: int) -> None:
        self.client, self.bucket, self.key, self.size = client, bucket, name, size
        self.at = 0
        self.body: Any = None

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read from any place."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; nothing is fetched yet."""
        target = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.size}[whence]
        if target != self.at:
            self._drop()
        self.at = target
        return target

    def tell(self) -> int:
        """Return the place."""
        return self.at

    def readinto(self, buffer: Any) -> int:
        """Read on from the place."""
        if self.at >= self.size:
            return 0
        with _bucket_errors():
            if self.body is None:
                self.body = self.client.get_object(
                    Bucket=self.bucket, Key=self.key, Range=f"bytes={self.at}-"
                )["Body"]
            data = self.body.read(len(buffer))
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)

    def close(self) -> None:
        """End the fetch."""
        self._drop()
        super().close()

    def _drop(self) -> None:
        if self.body is not None:
            self.body.close()
            self.body = None


@contextmanager
def _bucket_errors() -> Iterator[None]:
    """Answer 503 when the bucket cannot be reached or refuses us."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  as above

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        log.error("image storage: %s", error)
        abort_with(503, message="Image storage is temporarily unavailable. Please try again.")


@contextmanager
def disk_errors() -> Iterator[None]:
    """Answer 503 when the disk is full or cannot be written."""
    try:
        yield
    except OSError as error:
        log.error("image storage: %s", error)
        abort_with(503, message="Image storage is temporarily unavailable. Please try again.")


def current_storage() -> Storage:
    """Return the storage of the app at work."""
    found: Storage = current_app.extensions["images"]
    return found


def open_storage(config: Config) -> Storage:
    """Return the storage that the settings name."""
    return Bucket(config) if config.s3_bucket else Folder(config.image_dir)
