"""Images: uploads, thumbnails, cleanup."""

from flask import Flask

from ..config import Config
from ..logs import log
from .cli import images
from .storage import open_storage


def init_images(app: Flask, config: Config) -> None:
    """Open the storage of pictures."""
    app.extensions["images"] = open_storage(config)
    app.cli.add_command(images)
    if not (config.s3_bucket or config.is_embedded):
        log.warning(
            "Pictures are kept in %s: without a disk that lasts and that all machines share "
            "(Heroku has none) they get lost; set S3_BUCKET.",
            config.image_dir,
        )
