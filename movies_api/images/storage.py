"""Storage: the files of images, in a local folder or in an S3 bucket."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from shutil import copyfileobj
from stat import S_ISREG
from threading import Lock
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

from flask import current_app

from ..api.errors import abort_with
from ..config import Config
from ..logs import log_outage

CHUNK = 1 << 16
UPLOAD_TTL = timedelta(minutes=10)


class StoredFile(NamedTuple):
    """Metadata of a stored file."""

    name: str
    size: int
    modified_at: datetime


class Storage(Protocol):
    """Files named `images/...` are public, files named `uploads/...` are pending."""

    def open(self, name: str) -> BinaryIO | None:
        """Return a seekable file for the caller to close, or None."""

    def put(self, name: str, data: bytes, media_type: str) -> None:
        """Write the file atomically."""

    def remove(self, names: Iterable[str]) -> None:
        """Delete those of the files that exist."""

    def names(self, prefix: str) -> Iterator[StoredFile]:
        """Yield all files whose names start with the prefix."""

    def presign_upload(self, name: str, media_type: str, size: int) -> dict[str, Any] | None:
        """Return the request that uploads directly to the storage; None if unsupported."""


class Folder:
    """A local folder; clients upload through the service."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, name: str) -> BinaryIO | None:
        """Return the file, or None."""
        try:
            return self._path(name).open("rb")
        except FileNotFoundError:
            return None

    def put(self, name: str, data: bytes, media_type: str) -> None:
        """Write a temporary file, then rename it."""
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
        """Delete the files."""
        with disk_errors():
            for name in names:
                self._path(name).unlink(missing_ok=True)

    def names(self, prefix: str) -> Iterator[StoredFile]:
        """Yield the files, including temporary files of killed processes."""
        if prefix != "images/" or not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):
                about = path.stat()
                at = datetime.fromtimestamp(about.st_mtime, UTC)
                if S_ISREG(about.st_mode):
                    yield StoredFile(f"images/{path.name}", about.st_size, at)

    def presign_upload(self, name: str, media_type: str, size: int) -> None:
        """Return None: clients upload through the service."""

    def _path(self, name: str) -> Path:
        return self.folder / Path(name).name


class Bucket:
    """A bucket of S3 or a compatible service; clients upload directly to it."""

    def __init__(self, config: Config) -> None:
        self.config, self.bucket = config, config.s3_bucket or ""
        self.lock = Lock()
        self._client: Any = None

    @property
    def client(self) -> Any:
        """Return the client, created on first use so that forked processes do not share it."""
        with self.lock:
            if self._client is None:
                import boto3  # noqa: PLC0415  optional dependency
                from botocore.config import Config as Options  # noqa: PLC0415

                options = Options(
                    signature_version="s3v4",
                    connect_timeout=3,
                    read_timeout=10,
                    retries={"total_max_attempts": 2},
                    # Many compatible stores reject the checksums that boto3 adds by default
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    # With path addressing, AWS redirects browsers to another host
                    s3=None if self.config.s3_endpoint_url else {"addressing_style": "virtual"},
                )
                self._client = boto3.client(
                    "s3",
                    endpoint_url=self.config.s3_endpoint_url,
                    region_name=self.config.s3_region,
                    config=options,
                )
        return self._client

    def open(self, name: str) -> BinaryIO | None:
        """Return a temporary copy of the object, because a slow client may take minutes to read."""
        with bucket_errors(), disk_errors():
            try:
                body = self.client.get_object(Bucket=self.bucket, Key=name)["Body"]
            except self.client.exceptions.ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    return None
                raise
            file = tempfile.SpooledTemporaryFile(CHUNK)  # noqa: SIM115  the caller closes it
            with body:
                copyfileobj(body, file)
            file.seek(0)
            return cast("BinaryIO", file)

    def put(self, name: str, data: bytes, media_type: str) -> None:
        """Write the object, with the headers for a CDN."""
        with bucket_errors():
            self.client.put_object(
                Bucket=self.bucket,
                Key=name,
                Body=data,
                ContentType=media_type,
                CacheControl="public, max-age=31536000, immutable",
            )

    def remove(self, names: Iterable[str]) -> None:
        """Delete the objects."""
        with bucket_errors():
            for name in names:
                self.client.delete_object(Bucket=self.bucket, Key=name)

    def names(self, prefix: str) -> Iterator[StoredFile]:
        """Yield the objects, fetching a thousand per request."""
        with bucket_errors():
            pages = self.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
                for item in page.get("Contents", ()):
                    yield StoredFile(item["Key"], item["Size"], item["LastModified"])

    def presign_upload(self, name: str, media_type: str, size: int) -> dict[str, Any]:
        """Return a form for POST or a URL for PUT; both are limited to the type and size."""
        target = {"Bucket": self.bucket, "Key": name}
        seconds = round(UPLOAD_TTL.total_seconds())
        with bucket_errors():
            if self.config.s3_upload == "put":
                bound = {**target, "ContentType": media_type, "ContentLength": size}
                url = self.client.generate_presigned_url("put_object", bound, seconds)
                return {"uploadUrl": url, "method": "PUT", "headers": {"Content-Type": media_type}}
            form = self.client.generate_presigned_post(
                **target,
                Fields={"Content-Type": media_type},
                Conditions=[
                    {"Content-Type": media_type},
                    ["content-length-range", size, size],
                ],
                ExpiresIn=seconds,
            )
        return {"uploadUrl": form["url"], "method": "POST", "fields": form["fields"]}


@contextmanager
def storage_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Abort with 503 if the storage is unavailable, full, or rejects a request."""
    try:
        yield
    except kinds as error:
        log_outage("storage", "image storage: %s", error)
        abort_with(503, message="Image storage is temporarily unavailable. Please try again.")


disk_errors = partial(storage_errors, OSError)


def bucket_errors() -> AbstractContextManager[None]:
    """Abort with 503 if the bucket is unavailable or rejects a request."""
    from boto3.exceptions import Boto3Error  # noqa: PLC0415  optional dependency
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    return storage_errors(Boto3Error, BotoCoreError, ClientError)


def current_storage() -> Storage:
    """Return the storage of the current app."""
    storage: Storage = current_app.extensions["images"]
    return storage


def open_storage(config: Config) -> Storage:
    """Return a bucket if S3_BUCKET is set, otherwise a folder."""
    return Bucket(config) if config.s3_bucket else Folder(config.image_dir)
