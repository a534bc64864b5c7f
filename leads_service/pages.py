"""What stands beside the leads: the health check and the interactive documentation."""

from importlib.resources import files

from flask import Response, render_template, send_from_directory
from flask_smorest import Blueprint
from marshmallow import Schema, fields
from marshmallow.validate import OneOf

from leads_service.db import touch
from leads_service.openapi import HEADERS, errors
from leads_service.responses import json_response
from leads_service.service import current_service

SWAGGER_UI = str(files("flask_swagger_ui") / "dist")
# Swagger UI's icons are data: images; all else comes from here and no script stands in the page.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

pages = Blueprint("leads_service_pages", __name__, description="Whether the service works.")


class HealthSchema(Schema):
    """How the service is."""

    status = fields.String(required=True, validate=OneOf(["ok"]), metadata={"example": "ok"})


@pages.route("/healthz")
@pages.response(200, HealthSchema, description="It works.", headers=HEADERS["any"])
@pages.doc(
    operationId="getHealth",
    security=[],
    responses=errors(500, 503),
)
def health() -> Response:
    """Say whether the service works and reaches its store; needs no token."""
    touch(current_service().database)
    return json_response({"status": "ok"})


def docs() -> Response:
    """Show the OpenAPI document as a page on which calls can be tried out."""
    page = render_template("docs.html")
    return Response(page, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


def docs_file(name: str) -> Response:
    """Send a file of Swagger UI."""
    return send_from_directory(SWAGGER_UI, name, max_age=86400)


pages.record(lambda state: state.add_url_rule("/docs", "docs", docs))
pages.record(lambda state: state.add_url_rule("/docs/<name>", "docs_file", docs_file))
