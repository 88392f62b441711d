"""Images: uploads, thumbnails, cleanup."""

from flask import Flask

from ..config import Config
from ..logs import log
from .cli import images
from .storage import open_storage


def init_images(app: Flask, config: Config) -> None:
    """Open the image storage and register the commands."""
    app.extensions["images"] = open_storage(config)
    app.cli.add_command(images)
    if not (config.s3_bucket or config.is_embedded):
        log.warning(
            "Images are stored in %s. Without a persistent disk that all machines share "
            "(Heroku has none) they are lost: set S3_BUCKET.",
            config.image_dir,
        )
