"""A server that is slow, refuses, or is away; and tokens that may only read."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.board.conftest import Open
from tests.board.live import (
    ONE_LEAD,
    SHOW,
    Board,
    Complaints,
    answered,
    card,
    column,
    expect_in,
    move_and_hold,
    open_panel,
    press_and_hold,
)


@pytest.fixture(autouse=True)
def two_leads(board: Board) -> None:
    board.add(41, 42)


def test_a_slow_server(board: Board, page: Page) -> None:
    route = move_and_hold(page, 42, "2")
    expect_in(page, "contacted", 42)
    expect(column(page, "new", r"1 lead\b")).to_be_visible()
    expect(column(page, "contacted", r"1 lead\b")).to_be_visible()
    assert board.lead(42)["status"] == "new"
    board.add(43)
    page.evaluate(SHOW)  # the server still says that the card is where it was
    expect_in(page, "new", 43)
    expect_in(page, "contacted", 42)
    expect(card(page, 42)).to_have_count(1)
    expect(column(page, "contacted", r"1 lead\b")).to_be_visible()
    with answered(page):
        route.continue_()
    expect_in(page, "contacted", 42)
    page.evaluate(SHOW)
    expect(column(page, "new", "2 leads")).to_be_visible()
    expect(column(page, "contacted", r"1 lead\b")).to_be_visible()
    assert board.lead(42)["status"] == "contacted"


def test_a_panel_is_closed_while_its_notes_are_on_their_way(board: Board, page: Page) -> None:
    """They are saved already, as far as the user can tell: nobody asks about them."""
    it = open_panel(page, 42)
    it.get_by_label("Notes").fill("to be saved")
    route = press_and_hold(page, "Control+Enter")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Discard your changes?")).to_be_hidden()
    route.continue_()
    expect(it).to_be_hidden()
    expect(card(page, 42)).to_contain_text("to be saved")
    assert board.lead(42)["notes"] == "to be saved"


def test_a_server_that_is_killed_during_a_move(
    board: Board, page: Page, complaints: Complaints
) -> None:
    complaints.expect_no_server()
    route = move_and_hold(page, 42, "2")
    expect_in(page, "contacted", 42)
    board.stop()
    route.continue_()
    expect_in(page, "new", 42)
    expect(column(page, "new", "2 leads")).to_be_visible()
    expect(column(page, "contacted", "0 leads")).to_be_visible()
    expect(page.get_by_role("alert").filter(has_text=re.compile("Company 42"))).to_be_visible()
    expect(page.get_by_role("button", name="Undo")).to_be_hidden()


def test_a_server_that_is_back(page: Page, complaints: Complaints) -> None:
    complaints.expect_no_server()
    page.context.set_offline(True)
    card(page, 42).focus()
    page.keyboard.press("2")
    alert = page.get_by_role("alert").filter(has_text=re.compile("."))
    expect(alert).to_be_visible()
    expect_in(page, "new", 42)
    page.context.set_offline(False)
    card(page, 42).focus()
    with answered(page):
        page.keyboard.press("2")
    expect_in(page, "contacted", 42)
    expect(alert).to_have_count(0)


def test_a_server_that_refuses(page: Page, complaints: Complaints) -> None:
    complaints.expect_status(503)
    answer = {"code": 503, "status": "Service Unavailable", "message": "The disk is full."}
    page.route(ONE_LEAD, lambda route: route.fulfill(status=503, json=answer), times=1)
    card(page, 42).focus()
    page.keyboard.press("2")
    expect(page.get_by_role("alert").filter(has_text="The disk is full.")).to_be_visible()
    expect_in(page, "new", 42)


def test_one_of_several_that_is_refused(board: Board, page: Page, complaints: Complaints) -> None:
    complaints.expect_status(404)
    board.delete(42)
    for company in (41, 42):
        page.get_by_role("checkbox", name=f"Select company {company}").check()
    card(page, 41).focus()
    with answered(page, times=2):
        page.keyboard.press("2")
    expect_in(page, "contacted", 41)
    expect(page.get_by_role("alert").filter(has_text="Company 42")).to_be_visible()
    assert board.lead(41)["status"] == "contacted"


def test_a_session_that_has_ended_during_a_move(
    board: Board, page: Page, complaints: Complaints
) -> None:
    complaints.expect_status(401)
    for token in board.state.accounts.tokens("alice")[:1]:
        board.state.accounts.revoke_token(token["id"])
    card(page, 42).focus()
    page.keyboard.press("2")
    expect(page.get_by_label("Token")).to_be_visible()
    assert board.lead(42)["status"] == "new"


def test_a_page_that_cannot_be_loaded_yet(page: Page, board: Board, complaints: Complaints) -> None:
    """Polling goes on, and what has failed is tried again."""
    complaints.expect_no_server()
    page.context.set_offline(True)
    page.evaluate(SHOW)
    expect(page.get_by_role("alert").filter(has_text=re.compile("."))).to_be_visible()
    page.context.set_offline(False)
    board.add(43)
    page.evaluate(SHOW)
    expect_in(page, "new", 43)
    expect(page.get_by_role("alert").filter(has_text=re.compile("."))).to_have_count(0)


def test_a_token_that_may_only_read(board: Board, sign_in: Open, complaints: Complaints) -> None:
    """It shows everything, moves nothing, and the user is told why."""
    complaints.expect_status(403)
    page = sign_in(board.reader)
    methods: list[str] = []
    page.on("request", lambda request: methods.append(request.method))
    expect_in(page, "new", 41, 42)
    card(page, 42).focus()
    page.keyboard.press("2")
    why = re.compile("read.only", re.IGNORECASE)
    expect(page.get_by_role("alert").filter(has_text=why)).to_be_visible()
    expect_in(page, "new", 42)
    expect(column(page, "contacted", "0 leads")).to_be_visible()
    it = open_panel(page, 42)
    expect(it.get_by_label("Notes")).not_to_be_editable()
    expect(it.get_by_label("Status")).to_be_disabled()
    expect(it.get_by_role("button", name=re.compile("Delete|Save"))).to_have_count(0)
    it.get_by_label("Notes").press("Control+Enter")
    page.keyboard.press("Escape")
    expect(it).to_be_hidden()
    assert "PATCH" not in methods
    page.keyboard.press("n")
    expect(page.get_by_role("dialog", name="New lead")).to_be_hidden()
    expect(page.get_by_role("button", name="New lead")).to_be_hidden()
    said = page.get_by_role("banner").get_by_text("read-only")
    expect(said).to_be_visible()
    assert board.lead(42)["status"] == "new"
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    expect(said).to_be_hidden()
