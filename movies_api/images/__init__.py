"""Images: uploads, thumbnails, cleanup."""

from flask import Flask

from ..config import Config
from .cli import images
from .storage import open_storage


def init_images(app: Flask, config: Config) -> None:
    """Open the image storage and register the commands."""
    app.extensions["images"] = open_storage(config)
    app.cli.add_command(images)
