"""The WSGI entry point: `gunicorn wsgi:app`, `flask --app wsgi ...`."""

import sys

from movies_api import create_app
from movies_api.config import ConfigError, load_env_file
from movies_api.logs import log

found = load_env_file()
try:
    app = create_app()
except ConfigError as error:
    sys.exit(str(error))
if found:
    log.info("settings: %s", found)
