"""The pages beside the leads: the index, the health check, the interactive documentation."""

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from flask import Flask, Response, abort, render_template, request, url_for
from flask.blueprints import BlueprintSetupState
from flask_smorest import Api
from werkzeug.exceptions import HTTPException

from leads_service.api.links import root_address
from leads_service.api.openapi import DocumentedBlueprint, errors, headers
from leads_service.api.responses import (
    empty_response,
    error_response,
    file_response,
    json_response,
    page_response,
)
from leads_service.api.schemas import HealthSchema, LeadsErrorSchema
from leads_service.extras import import_extra
from leads_service.state import current_state

OPENAPI = "openapi_json"  # the endpoint of the document
INDEX = {
    "leads": "leads_service.list_leads",
    "board": "leads_service_board.index",
    "docs": "leads_service_pages.docs",
    "openapi": OPENAPI,
    "health": "leads_service_pages.health",
}
MAX_AGE = 86_400  # seconds


class LeadsApi(Api):
    """The flask-smorest Api, and thus the OpenAPI document, of the standalone application."""

    ERROR_SCHEMA = LeadsErrorSchema
    DEFAULT_ERROR_RESPONSE_NAME = None  # each operation lists its error statuses instead

    def init_app(self, app: Flask, **options: Any) -> None:
        """Initialise the document, without flask-smorest's pagination header, which is not sent."""
        super().init_app(app, **options)
        del self.spec.components.schemas["PaginationMetadata"]

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Answer an error as the application does."""
        return error_response(error)

    def document(self) -> Response:
        """Return the document, whose server is the address of the current request."""
        # An absolute URL: some client generators resolve a relative one against the local file.
        servers = [{"url": root_address()}]
        return json_response(self.spec.to_dict() | {"servers": servers})


pages = DocumentedBlueprint(
    "leads_service_pages",
    __name__,
    tag="Service",
    description="Whether the service works.",
    template_folder="templates",
)


@pages.route("/healthz")
@pages.response(200, HealthSchema, description="It works.", headers=headers())
@pages.doc(
    operationId="getHealth",
    security=[],
    responses=errors(500, 503),
)
def health() -> Response:
    """Say whether the service works and reaches its store; needs no token."""
    current_state().storage.check_health()
    return json_response({"status": "ok"})


def docs() -> Response:
    """Return Swagger UI, the interactive page for the OpenAPI document."""
    return page_response(render_template("docs.html"))


def docs_file(name: str) -> Response:
    """Return a file of the page ``docs``; 404 for an unknown name."""
    return file_response(docs_files().get(name) or abort(404), MAX_AGE)


@cache
def docs_files() -> dict[str, Traversable]:
    """Return the files of the page ``docs`` by name.

    Raises:
        ConfigError: The extra ``stub`` or ``server`` is not installed.
    """
    swagger_ui = files(import_extra("flask_swagger_ui", "server")) / "dist"
    names = ("favicon-32x32.png", "swagger-ui-bundle.js", "swagger-ui.css")
    ours = files("leads_service.api") / "static" / "docs.js"
    return {"docs.js": ours} | {name: swagger_ui / name for name in names}


def index() -> Response:
    """Redirect browsers to the board; return the endpoints as JSON to other clients."""
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
        response = empty_response(303)
        response.location = url_for(INDEX["board"])
    else:
        response = json_response({name: url_for(view) for name, view in INDEX.items()})
    response.vary.add("Accept")
    return response


def _add_pages(state: BlueprintSetupState) -> None:
    docs_files()  # fail at the start, not at the first request, if the extra is missing
    state.add_url_rule("/", "index", index)
    state.add_url_rule("/docs", "docs", docs)
    state.add_url_rule("/docs/<name>", "docs_file", docs_file)


pages.record(_add_pages)
