"""The command that prints the OpenAPI document; ``openapi.json`` is a copy of it."""

import json
from collections.abc import Callable

import click
from flask import Flask

from leads_service.config import DEFAULTS
from leads_service.storage.sqlite.single import SingleConnectionDatabase

SERVER = "http://127.0.0.1:8000"  # the default address of `serve`


def openapi_command(create_app: Callable[..., Flask]) -> click.Command:
    """Return the command.

    Args:
        create_app: ``leads_service.create_app``, which imports the commands itself.
    """

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

    return openapi
