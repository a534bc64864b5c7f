"""The application for any WSGI server: ``gunicorn wsgi:app``, ``flask --app wsgi leads …``."""

import sys

from leads_service import create_app
from leads_service.config import ConfigError
from leads_service.db import StoreError

try:
    app = create_app()
except (ConfigError, StoreError) as error:
    sys.exit(f"leads-service: {error}")
