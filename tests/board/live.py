"""A running board, and what its tests look for on a page."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any, NoReturn

from flask import Flask
from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Locator,
    Page,
    Response,
    Route,
    expect,
)
from playwright.sync_api import Error as PageError
from werkzeug.serving import WSGIRequestHandler, make_server

from leads_service import create_app, transfer
from leads_service.state import AppState, state_of
from tests.helpers import migrated_file

HOST = "127.0.0.1"
POLL = 0.02  # seconds between the server's checks for a shutdown
TIMEOUT = 30_000  # milliseconds; a busy machine needs more than the usual five seconds
LOOK = 10  # milliseconds between two looks for what Playwright has no event
ONE_LEAD = "**/v1/leads/*"
SHOW = "window.dispatchEvent(new Event('focus'))"


class PastClock:
    """A clock that shows what the machine's does, or what it did some time ago."""

    ago = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) - self.ago


class Quiet(WSGIRequestHandler):
    """A request handler that prints nothing: the service logs its requests."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class Listener:
    """An application on a port of 127.0.0.1, in a thread."""

    def __init__(self, app: Flask) -> None:
        self._server = make_server(HOST, 0, app, threaded=True, request_handler=Quiet)
        self.url = f"http://{HOST}:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, args=[POLL], daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer nobody any more, as a server does that was killed; twice is as good as once."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Board:
    """The service on a free port, with the users alice and bob.

    Attributes:
        clock: What the service takes for the time.
        url: The address of the board.
        alice: The token of alice; bob: that of bob; reader: one of alice's that may only read.
    """

    def __init__(self, folder: Path) -> None:
        file = folder / "leads.db"
        file.write_bytes(migrated_file())
        self.clock = PastClock()
        self.app = create_app(
            {"LEADS_DATABASE": f"sqlite:///{file}", "LEADS_LOG_LEVEL": "error"}, clock=self.clock
        )
        self._listener = Listener(self.app)
        self.stop = self._listener.stop
        self.base = self._listener.url
        self.url = f"{self.base}/board"
        for name in ("alice", "bob"):
            self.state.accounts.add_user(name)
        create = self.state.accounts.create_token
        self.alice, self.bob = create("alice"), create("bob")
        self.reader = create("alice", read_only=True)

    @property
    def state(self) -> AppState:
        return state_of(self.app)

    def link(self, token: str) -> str:
        """Return the address that signs in."""
        return f"{self.url}#token={token}"

    def add(self, *companies: int, user: str = "alice", **fields: Any) -> None:
        """Import a lead for each company, the last of them the newest."""
        rows = enumerate(({"company_id": company} | fields for company in companies), 1)
        state = self.state
        owner = transfer.owned_by(state.user_id(user))
        confirm = state.leads.confirm_users
        transfer.import_leads(
            state.storage, state.scorer, owner, rows, self.clock(), refuse, confirm
        )

    def lead(self, company: int, user: str = "alice") -> dict[str, Any]:
        """Return the one lead of a company."""
        (lead,) = self.leads(user, company_id=company)
        return lead

    def leads(self, user: str = "alice", **filters: Any) -> list[dict[str, Any]]:
        """Return a user's newest leads."""
        state = self.state
        data = state.leads.page(state.user_id(user), filters, limit=200).data
        found: list[dict[str, Any]] = self.app.json.loads(data)
        return found

    def change(self, company: int, user: str = "alice", **fields: Any) -> None:
        """Change the one lead of a company, as another client would."""
        lead = self.lead(company, user)
        self.state.leads.update(lead["user_id"], lead["id"], fields)

    def delete(self, company: int, user: str = "alice") -> None:
        """Delete the one lead of a company, as another client would."""
        lead = self.lead(company, user)
        self.state.leads.delete(lead["user_id"], lead["id"])


def refuse(line: int, errors: dict[str, Any], row: Any) -> NoReturn:
    raise AssertionError(f"a test's row {row} is not valid: {errors}")


class Complaints:
    """What browsers complain of: errors, warnings and dialogs that a test did not expect."""

    def __init__(self) -> None:
        self._expected: list[str] = []
        self._found: list[str] = []

    def expect(self, *patterns: str) -> None:
        """Allow messages in which one of these patterns is."""
        self._expected += patterns

    def expect_status(self, status: int) -> None:
        """Allow what Chromium says of each answer with such a status."""
        self.expect(rf"Failed to load resource: .*status of {status}\b")

    def expect_no_server(self) -> None:
        """Allow what Chromium says where it reaches no server."""
        self.expect(r"Failed to load resource: net::ERR_")

    def watch(self, context: BrowserContext) -> None:
        context.on("console", self._note_message)
        context.on("weberror", lambda error: self._note_error(error.error))
        context.on("dialog", self._note_dialog)

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._found.append(f"{message.type}: {message.text} ({message.location['url']})")

    def _note_error(self, error: PageError) -> None:
        self._found.append(f"uncaught: {error.message}")

    def _note_dialog(self, dialog: Dialog) -> None:
        self._found.append(f"dialog {dialog.type}: {dialog.message}")
        dialog.accept()

    def unexpected(self) -> list[str]:
        return [
            message
            for message in self._found
            if not any(re.search(pattern, message) for pattern in self._expected)
        ]


# What is on the page, by the names that the board promises


def column(page: Page, status: str, count: str = "") -> Locator:
    """Return the column of a status, with that count, such as ``12 leads``, if one is given."""
    return page.get_by_role("region", name=re.compile(rf"^{status}, {count}"))


def card(place: Page | Locator, company: int) -> Locator:
    return place.get_by_role("listitem", name=re.compile(rf"^Company {company}\b"))


def cards(place: Page | Locator) -> Locator:
    return place.get_by_role("listitem", name=re.compile(r"^Company \d"))


def expect_in(page: Page, status: str, *companies: int) -> None:
    """Wait until these cards are in this column."""
    for company in companies:
        expect(card(column(page, status), company)).to_be_visible()


def panel(page: Page, company: int) -> Locator:
    return page.get_by_role("dialog", name=re.compile(rf"^Company {company}\b"))


def open_panel(page: Page, company: int) -> Locator:
    card(page, company).focus()
    page.keyboard.press("Enter")
    it = panel(page, company)
    expect(it).to_be_visible()
    return it


def filters(page: Page) -> Locator:
    return page.get_by_role("search", name="Filters").or_(page.get_by_role("form", name="Filters"))


@contextmanager
def answered(page: Page, method: str = "PATCH", times: int = 1) -> Iterator[list[Response]]:
    """Do what the block says, and wait until the API has answered so many such requests.

    Yields:
        A list, which has the answers after the block.
    """
    answers: list[Response] = []

    def is_last(response: Response) -> bool:
        if response.request.method == method and "/v1/" in response.url:
            answers.append(response)
        return len(answers) == times

    with page.expect_response(is_last):
        yield answers


def hold(page: Page, act: Callable[[], object], url: str = ONE_LEAD) -> Route:
    """Do something that asks the server, and return the request, which it has not got yet."""
    held: list[Route] = []
    page.route(url, lambda route: held.append(route), times=1)  # noqa: PLW0108  # see its annotations
    act()
    for _ in range(TIMEOUT // LOOK):
        if held:
            return held[0]
        page.wait_for_timeout(LOOK)
    raise AssertionError("the browser has sent nothing, or Playwright has not held it")


def press_and_hold(page: Page, key: str) -> Route:
    return hold(page, lambda: page.keyboard.press(key))


def move_and_hold(page: Page, company: int, key: str) -> Route:
    card(page, company).focus()
    return press_and_hold(page, key)


def overflow(page: Page) -> int:
    """Return by how many pixels the page is wider than its window."""
    width: int = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return width
