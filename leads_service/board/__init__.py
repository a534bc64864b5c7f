"""The board: the pipeline as columns of cards in a browser, a client of the API.

The pages have no data in them, so anybody may have them. Their scripts ask the API for what it
offers, and the views here for the rest.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import orjson
from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    current_app,
    g,
    render_template,
    request,
    url_for,
)
from flask_smorest import abort as abort_with
from marshmallow import EXCLUDE, RAISE, ValidationError, fields, validates_schema
from werkzeug.exceptions import Unauthorized

from leads_service.api.auth import SESSION_COOKIE, session_token
from leads_service.api.blueprint import (
    HANDLED,
    LeadsBlueprint,
    authenticate,
    close_request,
    handle_error,
    identify,
    open_storage,
)
from leads_service.api.responses import empty_response, file_response, json_response, page_response
from leads_service.api.schemas import LeadQuerySchema
from leads_service.api.views import not_found
from leads_service.exceptions import AccountError, CursorNotFoundError, LeadNotFoundError
from leads_service.lead import BEGINNING, ENDS, MAX_NOTES, STATUSES, Choice, timestamp
from leads_service.progress import SPANS, plain, span_of
from leads_service.state import current_state
from leads_service.storage.base import EVENTS, Figure
from leads_service.validation import (
    MomentField,
    StatusField,
    StrictSchema,
    checks,
    filter_fields,
)

TOKENS = "leads_service_board_tokens"  # in ``app.extensions``
STATIC = {file.name: file for file in (files("leads_service.board") / "static").iterdir()}
QUERY = LeadQuerySchema()
COMPANY = LeadQuerySchema(only=["company_id"], unknown=EXCLUDE)
DEFAULT_SPAN = "90d"
WHOLE = re.compile(r"[0-9]{1,18}")  # fits into 64 bits
NO_CURSOR = "Not a cursor of this list."


class PlaceField(fields.String):
    """Where a page of leads ends: the last one's ``CountedLead.place``, a comma, and its id."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        place, _, lead_id = value.rpartition(",")
        if not WHOLE.fullmatch(lead_id):
            raise ValidationError(NO_CURSOR)
        return int(place) if WHOLE.fullmatch(place) else MomentField().deserialize(place), int(
            lead_id
        )


class FigureSchema(StrictSchema):
    """The query for the leads that a figure counts."""

    reached = StatusField(validate=checks(Choice(STATUSES)))
    became = StatusField(validate=checks(Choice(ENDS)))
    left = StatusField(validate=checks(Choice(STATUSES)))
    since = MomentField(load_default=timestamp(BEGINNING))
    until = MomentField(required=True)
    company_id = filter_fields()["company_id"]
    cursor = PlaceField()

    @validates_schema
    def is_one_figure(self, data: Mapping[str, Any], **_: Any) -> None:
        """Check that one figure is asked for, and that the cursor is one of its list.

        Raises:
            ValidationError: One of them is not so.
        """
        if len(data.keys() & EVENTS) != 1:
            raise ValidationError(f"Give one of {', '.join(EVENTS)}.", EVENTS[0])
        if "cursor" in data and isinstance(data["cursor"][0], int) is not ("left" in data):
            raise ValidationError(NO_CURSOR, "cursor")


FIGURE = FigureSchema()

board = Blueprint("leads_service_board", __name__, template_folder="templates")
for _error in HANDLED:
    board.register_error_handler(_error, handle_error)
board.register_error_handler(LeadNotFoundError, not_found)
board.teardown_request(close_request)


def mount(app: Flask, path: str, tokens: Mapping[str, str] | None = None) -> None:
    """Add the board to an application that has the leads.

    Args:
        app: The application.
        path: The path of the board, such as ``/board``.
        tokens: Well-known tokens by their names, between which a stub's board lets one choose; None
            to ask for one.
    """
    app.extensions[TOKENS] = tokens
    app.register_blueprint(board, url_prefix=path)


# Pages


@board.route("", strict_slashes=False)
def index() -> Response:
    """Return the page with the columns."""
    return _page("leads_board/board.html")


@board.route("/progress", strict_slashes=False)
def progress() -> Response:
    """Return the page with the progress."""
    return _page("leads_board/progress.html")


@board.route("/progress/leads", strict_slashes=False)
def progress_leads() -> Response:
    """Return the page with the leads that a figure counts."""
    return _page("leads_board/counted.html")


def _page(template: str) -> Response:
    facts = {
        "api": url_for("leads_service.list_leads"),
        "board": url_for(".index"),
        "tokens": current_app.extensions[TOKENS],
        "takesTokens": current_state().takes_tokens,
        "statuses": STATUSES,
        "maxNotes": MAX_NOTES,
    }
    text = orjson.dumps(facts).decode()
    return page_response(render_template(template, facts=text, statuses=STATUSES))


@board.route("/static/<name>")
def static_file(name: str) -> Response:
    """Return a script or a style sheet; 404 for an unknown name."""
    return file_response(STATIC.get(name) or abort(404), max_age=0)


# Data


@board.route("/summary")
def summary() -> Response:
    """Return how many of the caller's leads pass the filters, by status."""
    authenticate()
    filters = _query()
    for name in ("limit", "cursor"):
        filters.pop(name, None)
    return json_response(current_state().leads.count_by_status(g.leads_caller.user_id, filters))


@board.route("/cards")
def cards() -> Response:
    """Return a page of leads as the API does, and since when each has had its status."""
    authenticate()
    leads, user_id = current_state().leads, g.leads_caller.user_id
    filters = _query()
    limit, cursor = filters.pop("limit"), filters.pop("cursor", None)
    try:
        page = leads.page(user_id, filters, limit=limit, cursor=cursor)
    except CursorNotFoundError:
        abort(404)
    data = orjson.loads(page.data)
    since = leads.in_status_since(user_id, data)
    data = [lead | {"since": since[lead["id"]]} for lead in data]
    return json_response(page._asdict() | {"data": data})


def _query() -> dict[str, Any]:
    query: dict[str, Any] = LeadsBlueprint.ARGUMENTS_PARSER.parse(QUERY, request, location="query")
    return query


@board.route("/figures")
def figures() -> Response:
    """Return the caller's progress: in the last 90 days, or ``span``; with a ``company_id`` or all.

    Aborts with 422 if one of them is not valid.
    """
    authenticate()
    query = request.args
    span = span_of(query.get("span", DEFAULT_SPAN))
    if span is None:
        abort_with(422, errors={"query": {"span": [f"Must be {SPANS}."]}})
    company = LeadsBlueprint.ARGUMENTS_PARSER.parse(COMPANY, request, location="query")
    found = current_state().leads.progress(
        g.leads_caller.user_id,
        None if isinstance(span, str) else span,
        company.get("company_id"),
    )
    return json_response(plain(found))


@board.route("/figures/leads")
def figure_leads() -> Response:
    """Return a page of the caller's leads that a figure counts, and with the first one the figure.

    Aborts with 422 if a parameter is not valid.
    """
    authenticate()
    query = LeadsBlueprint.ARGUMENTS_PARSER.parse(FIGURE, request, location="query", unknown=RAISE)
    (event,) = query.keys() & EVENTS
    after = query.pop("cursor", None)
    figure = Figure(event, query.pop(event), **query)
    leads, user_id = current_state().leads, g.leads_caller.user_id
    counted, has_more = leads.drill_down(user_id, figure, after=after)
    last = counted[-1] if has_more else None
    answer = {
        "count": leads.count_of(user_id, figure) if after is None else None,
        "data": [one.lead | {"counted_at": one.counted_at, "place": one.place} for one in counted],
        "next_cursor": last and f"{last.place},{last.lead['id']}",
    }
    return json_response(answer)


@board.route("/leads/<leads_service_id:lead_id>/history")
def history(lead_id: int) -> Response:
    """Return the status changes of a lead of the caller's, oldest first."""
    authenticate()
    changes = current_state().leads.history(g.leads_caller.user_id, lead_id)
    return json_response({"data": [change._asdict() for change in changes]})


# Sessions


@board.route("/session")
def session() -> Response:
    """Return whether the request is authenticated, and for what: no error, unlike elsewhere."""
    try:
        identify()
    except Unauthorized:
        return json_response({"signed_in": False})
    return json_response({"signed_in": True, "read_only": g.leads_caller.read_only})


@board.route("/session", methods=["POST"])
def sign_in() -> Response:
    """Make a session of the token with which the request is authenticated, in cookies."""
    identify()
    authorization = request.authorization
    # With any other scheme, it was the cookie that authenticated the request.
    if authorization is None or authorization.type != "bearer" or authorization.token is None:
        abort(422)
    try:
        token = current_state().accounts.create_session(authorization.token)
    except AccountError:
        abort(401)
    return _with_cookies(token)


@board.route("/session", methods=["DELETE"])
def sign_out() -> Response:
    """End the session, if there is one."""
    if (token := session_token()) is not None:
        open_storage(current_state().storage)
        current_state().accounts.end_session(token)
    return _with_cookies("")


def _with_cookies(token: str) -> Response:
    """Return a response that sets the cookie for the board and for the API, or deletes both."""
    response = empty_response()
    api = url_for("leads_service.list_leads").removesuffix("/leads")
    for path in (url_for(".index"), api or "/"):
        response.set_cookie(
            SESSION_COOKIE,
            token,
            max_age=None if token else 0,
            path=path,
            secure=request.is_secure,
            httponly=True,
            samesite="Strict",
        )
    return response
