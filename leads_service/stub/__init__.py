"""A stub of the service for client development: deterministic, in memory, with fault injection.

It is the real application on made-up leads, a fixed clock and known tokens.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from threading import Lock
from time import sleep
from typing import Any

import orjson
from flask import Flask, Response, request

from leads_service.api.blueprint import blp
from leads_service.api.cors import allow_origins
from leads_service.api.docs import OPENAPI
from leads_service.api.middleware import READ_METHODS
from leads_service.api.responses import json_response
from leads_service.app import create_app
from leads_service.config import DEFAULTS
from leads_service.exceptions import StorageUnusableError
from leads_service.leads import MAX_LIMIT
from leads_service.logging import VALID_ID
from leads_service.state import AppState, state_of
from leads_service.storage.sqlite.single import SingleConnectionDatabase
from leads_service.stub.document import describe
from leads_service.stub.faults import Faults
from leads_service.stub.samples import TOKENS, as_created, fill, has_tokens, move, samples
from leads_service.transfer import OnInvalid, Row

START_TIME = datetime(2026, 11, 2, 9, tzinfo=UTC)  # what the stub's clock shows at the start
MAX_START_TIME = datetime(9999, 1, 1, tzinfo=UTC)  # well before datetime.max
SECOND = timedelta(seconds=1)

StartResponse = Callable[..., Any]


def _ignore(line: int, errors: dict[str, Any], row: Any) -> None:
    """Ignore an invalid row; generated rows are all valid."""


class Stub:
    """A WSGI application: the service with the users alice and bob, whose tokens are known.

    Requests are processed one at a time.

    Attributes:
        now: The time of the stub's clock. Each write advances it by a second.
        faults: The fault injection.
        app: The Flask application.
    """

    def __init__(
        self,
        *,
        leads: int = 200,
        seed: int = 0,
        file: Path | None = None,
        rows: Iterable[Row] | None = None,
        on_invalid: OnInvalid = _ignore,
        faults: Faults | None = None,
        log_level: str = "info",
    ):
        """Create the application and its leads.

        Args:
            leads: How many leads to generate for alice and bob together.
            seed: The seed of the generator.
            file: A database file. If it has leads already, they are kept and no others are
                created. None for a database in memory.
            rows: Rows for alice's leads, instead of generated ones.
            on_invalid: Called with each invalid row; may raise.
            faults: The fault injection; None for none but what requests ask for.
            log_level: As ``LEADS_LOG_LEVEL``.

        Raises:
            StorageUnusableError: The file is not a stub's, or can't be made.
            StorageUnavailableError: The file can't be opened.
        """
        self.now = START_TIME
        self.faults = faults or Faults()
        self._lock = Lock()
        self._count = 0
        self._database = SingleConnectionDatabase(file)
        is_new = self._database.open()
        try:
            self.app = self._create_app(log_level)
            if not is_new and not has_tokens(self.state):
                raise StorageUnusableError(f"{file} is no stub's file; name another one")
            self.state.storage.migrate()
            if is_new and rows is not None:
                fill(self.state, (rows, ()), START_TIME, on_invalid)
            elif is_new:
                shares = samples(leads, Random(str(seed)), START_TIME)
                fill(self.state, map(as_created, shares), START_TIME, on_invalid)
                move(self.state, shares, self._set_clock)
        except BaseException:
            self._database.close_for_good()
            if is_new and file is not None:
                file.unlink()
            raise
        self._database.save_state()
        changes = self.state.storage.export_leads(["updated_at"], {})
        last = max((updated_at for _, _, updated_at in changes), default=None)
        # After the last change, but well before datetime.max.
        self._begin = (
            max(START_TIME, min(datetime.fromisoformat(last), MAX_START_TIME) + SECOND)
            if last
            else START_TIME
        )
        self.reset()

    @property
    def state(self) -> AppState:
        """The services of the stub's application."""
        return state_of(self.app)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Process a request, after its delay."""
        sleep(self.faults.delay_of(environ))
        with self._lock:
            self._count += 1
            if not VALID_ID.fullmatch(environ.get("HTTP_X_REQUEST_ID", "")):
                environ["HTTP_X_REQUEST_ID"] = f"stub-{self._count}"
            return self.app(environ, start_response)

    def reset(self) -> None:
        """Restore the initial state: leads, clock, request ids, and the sequence of failures."""
        with self._lock:
            self._reset()

    def close(self) -> None:
        """Close the database."""
        self._database.close_for_good()

    def leads(self, user: str) -> list[dict[str, Any]]:
        """Return all leads of a user, newest first.

        Raises:
            AccountError: There is no such user.
        """
        with self._lock:
            user_id = self.state.user_id(user)
            page = self.state.leads.page(user_id, limit=MAX_LIMIT)
            found: list[dict[str, Any]] = orjson.loads(page.data)
            while page.has_more:
                page = self.state.leads.page(user_id, limit=MAX_LIMIT, cursor=page.next_cursor)
                found += orjson.loads(page.data)
        return found

    def _create_app(self, log_level: str) -> Flask:
        app = create_app(
            DEFAULTS | {"LEADS_LOG_LEVEL": log_level},
            database=self._database,
            migrate=False,
            clock=lambda: self.now,
            board_tokens=TOKENS,
        )
        app.before_request(self.faults.fail)
        app.after_request(self._advance_clock)
        document: Any = app.view_functions[OPENAPI]
        app.view_functions[OPENAPI] = lambda: json_response(describe(document().json))
        app.add_url_rule("/stub/reset", "stub_reset", self._reset_view, methods=["POST"])
        allow_origins(app, ["*"])
        return app

    def _reset(self) -> None:
        self._database.restore_state()
        self.now = self._begin
        self._count = 0
        self.faults.reset()

    def _reset_view(self) -> Response:
        self._reset()
        return Response(status=204)

    def _set_clock(self, now: datetime) -> None:
        self.now = now

    def _advance_clock(self, response: Response) -> Response:
        """Advance the clock after a write; sort the header Allow, whose order is random."""
        if response.allow:
            response.headers["Allow"] = ", ".join(sorted(response.allow))
        wrote = (
            response.status_code < 300  # noqa: PLR2004  # success
            and request.blueprint == blp.name
            and request.method not in (*READ_METHODS, "OPTIONS")
        )
        if wrote and "Idempotency-Replayed" not in response.headers:
            self.now += SECOND
        return response
