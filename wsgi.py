"""The WSGI application for other servers: ``gunicorn wsgi:app``, ``flask --app wsgi leads …``."""

import sys

from leads_service import create_app
from leads_service.exceptions import ConfigError, StorageError

try:
    app = create_app()
except (ConfigError, StorageError) as error:
    sys.exit(f"leads-service: {error}")
