"""The command that prints the OpenAPI document; ``openapi.json`` is a copy of it."""

import json

import click

from leads_service.app import create_app
from leads_service.config import DEFAULTS
from leads_service.storage.sqlite.single import SingleConnectionDatabase

SERVER = "http://127.0.0.1:8000"  # the default address of `serve`


@click.command("openapi")
def openapi() -> None:
    """Print the OpenAPI document.

    \b
    Example:  leads-service openapi > openapi.json
    """
    settings = DEFAULTS | {"LEADS_LOG_LEVEL": "error"}
    app = create_app(settings, database=SingleConnectionDatabase(), migrate=False)
    document = app.test_client().get("/openapi.json", base_url=SERVER).json
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
