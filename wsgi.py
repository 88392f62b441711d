"""The WSGI entry point: `gunicorn wsgi:app`, `flask --app wsgi ...`."""

import sys

from movies_api import create_app
from movies_api.config import ConfigError

try:
    app = create_app()
except ConfigError as error:
    sys.exit(str(error))
