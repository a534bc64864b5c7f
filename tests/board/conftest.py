"""A board that runs, and pages of a browser on which somebody has signed in."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests import browser
from tests.board.axe import Axe, fetch
from tests.board.live import TIMEOUT, Board, Complaints, column

Open = Callable[..., Page]

NOWHERE = "http://nowhere.invalid/"
expect.set_options(timeout=TIMEOUT)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Start the browser that the system has; its sandbox is not to be had as root."""
    return browser_type_launch_args | {
        "executable_path": browser.EXECUTABLE,
        "args": ["--no-sandbox"],
    }


@pytest.fixture(scope="session")
def base_url() -> None:
    """Replace the fixture of a plugin, at whose way of defining it pytest warns."""


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    board = Board(tmp_path)
    yield board
    board.stop()


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Fail a test at whose end a browser has complained of something unexpected."""
    complaints = Complaints()
    yield complaints
    assert complaints.unexpected() == []


@pytest.fixture
def blank(board: Board, complaints: Complaints, new_context: Callable[..., BrowserContext]) -> Open:
    """Make pages of a browser with nothing in it, each in a context of its own."""

    def blank(**context: Any) -> Page:
        it = new_context(**context)
        it.set_default_timeout(TIMEOUT)
        # Where nothing was intercepted yet, Chromium may miss the first request that a route of a
        # test is for.
        it.route(NOWHERE, lambda route: route.abort())
        complaints.watch(it)
        return it.new_page()

    return blank


@pytest.fixture
def sign_in(board: Board, blank: Open) -> Open:
    """Make pages that show the board to the owner of a token, alice if none is given."""

    def sign_in(token: str | None = None, query: str = "", **context: Any) -> Page:
        page = blank(**context)
        page.goto(board.link(token or board.alice).replace("#", f"{query}#"))
        expect(column(page, "lost")).to_be_visible()
        return page

    return sign_in


@pytest.fixture
def page(board: Board, sign_in: Open) -> Page:
    """The board as alice sees it, with the leads that a fixture before this one has added."""
    return sign_in()


@pytest.fixture(scope="session")
def axe(pytestconfig: pytest.Config) -> Axe:
    """axe-core, as a script."""
    assert pytestconfig.cache is not None
    try:
        return Axe(fetch(pytestconfig.cache.mkdir("axe-core")))
    except OSError as error:
        if browser.GIVEN:
            raise
        pytest.skip(f"axe-core can't be fetched: {error}")
