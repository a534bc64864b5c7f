"""What others do meanwhile: it is seen, and nothing is lost."""

import re
from datetime import UTC, datetime

import pytest
from playwright.sync_api import APIResponse, Page, Route, expect

from tests.board.conftest import Open
from tests.board.live import (
    SHOW,
    Board,
    Complaints,
    answered,
    card,
    column,
    expect_in,
    open_panel,
    panel,
)

MINE, THEIRS = "what I wrote", "what they wrote"


@pytest.fixture(autouse=True)
def two_leads(board: Board) -> None:
    board.add(41, 42, notes="Met at the fair")


@pytest.mark.parametrize(("button", "kept"), [("Keep mine", MINE), ("Take theirs", THEIRS)])
def test_the_same_notes_in_two_contexts(
    board: Board, sign_in: Open, complaints: Complaints, button: str, kept: str
) -> None:
    complaints.expect_status(412)
    page, other = sign_in(), sign_in()
    notes = open_panel(page, 42).get_by_label("Notes")
    notes.fill(MINE)
    theirs = open_panel(other, 42).get_by_label("Notes")
    theirs.fill(THEIRS)
    with answered(other):
        theirs.press("Control+Enter")
    notes.press("Control+Enter")
    choice = page.get_by_role("dialog", name="Changed elsewhere")
    expect(choice).to_contain_text("the notes of company 42")
    expect(choice).to_contain_text("“Keep mine” puts yours in the place of theirs.")
    expect(choice).to_contain_text(MINE)
    expect(choice).to_contain_text(THEIRS)
    assert board.lead(42)["notes"] == THEIRS
    choice.get_by_role("button", name=button).click()
    expect(choice).to_be_hidden()
    expect(notes).to_have_value(kept)
    page.keyboard.press("Escape")
    expect(panel(page, 42)).to_be_hidden()
    expect(card(page, 42)).to_contain_text(kept)
    assert board.lead(42)["notes"] == kept


def test_no_choice_keeps_the_text(board: Board, page: Page, complaints: Complaints) -> None:
    complaints.expect_status(412)
    notes = open_panel(page, 42).get_by_label("Notes")
    notes.fill(MINE)
    board.change(42, notes=THEIRS)
    notes.press("Control+Enter")
    choice = page.get_by_role("dialog", name="Changed elsewhere")
    expect(choice).to_be_visible()
    page.keyboard.press("Escape")
    expect(choice).to_be_hidden()
    expect(notes).to_have_value(MINE)
    assert board.lead(42)["notes"] == THEIRS


def test_notes_here_and_a_move_elsewhere(board: Board, page: Page, complaints: Complaints) -> None:
    """Neither undoes the other, and nobody is asked."""
    complaints.expect_status(412)
    notes = open_panel(page, 42).get_by_label("Notes")
    notes.fill(MINE)
    board.change(42, status="qualified")
    notes.press("Control+Enter")
    expect_in_history = panel(page, 42).get_by_label("Status")
    expect(expect_in_history).to_have_value("qualified")
    assert (board.lead(42)["notes"], board.lead(42)["status"]) == (MINE, "qualified")
    page.keyboard.press("Escape")
    expect_in(page, "qualified", 42)


def test_a_move_here_and_another_one_elsewhere(
    board: Board, page: Page, complaints: Complaints
) -> None:
    complaints.expect_status(412)
    board.change(42, status="lost")
    card(page, 42).focus()
    page.keyboard.press("2")
    choice = page.get_by_role("dialog", name="Changed elsewhere")
    expect(choice).to_contain_text("lost")
    choice.get_by_role("button", name="Take theirs").click()
    expect_in(page, "lost", 42)
    expect(column(page, "contacted", "0 leads")).to_be_visible()
    assert board.lead(42)["status"] == "lost"


def test_moves_here_and_others_elsewhere(board: Board, page: Page, complaints: Complaints) -> None:
    """One question after the other; what stays is named as it is now."""
    complaints.expect_status(412)
    for company in (41, 42):
        board.change(company, status="qualified")
        page.get_by_role("checkbox", name=f"Select company {company}").check()
    card(page, 42).focus()
    page.keyboard.press("2")
    for _ in range(2):
        choice = page.get_by_role("dialog", name="Changed elsewhere")
        expect(choice).to_contain_text("the status of company")
        page.keyboard.press("Escape")
    alert = page.get_by_role("alert").filter(has_text="Company 42 stays qualified")
    expect(alert).to_contain_text("Company 41 stays qualified")
    expect_in(page, "qualified", 41, 42)


def test_a_lead_that_is_gone(board: Board, page: Page, complaints: Complaints) -> None:
    complaints.expect_status(404)
    board.delete(42)
    card(page, 42).focus()
    page.keyboard.press("2")
    expect(page.get_by_role("alert")).to_contain_text("Company 42 has been deleted meanwhile.")
    page.evaluate(SHOW)
    expect(card(page, 42)).to_have_count(0)
    expect(column(page, "new", r"1 lead\b")).to_be_visible()


def test_changes_elsewhere_appear_when_the_tab_comes_to_the_front(board: Board, page: Page) -> None:
    expect(column(page, "new", "2 leads")).to_be_visible()
    board.add(43)
    board.change(41, status="contacted", notes=THEIRS)
    board.delete(42)
    page.evaluate(SHOW)
    expect_in(page, "new", 43)
    expect_in(page, "contacted", 41)
    expect(card(page, 41)).to_contain_text(THEIRS)
    expect(card(page, 42)).to_have_count(0)
    expect(column(page, "new", r"1 lead\b")).to_be_visible()
    expect(column(page, "contacted", r"1 lead\b")).to_be_visible()


def test_changes_elsewhere_appear_within_15_seconds(board: Board, blank: Open) -> None:
    page = blank()
    page.clock.install()
    page.goto(board.link(board.alice))
    expect(column(page, "new", "2 leads")).to_be_visible()
    board.add(43)
    # A second from now the page's clock stands still, and goes on for 14 more.
    page.clock.pause_at(datetime.fromtimestamp(page.evaluate("Date.now()") / 1000 + 1, UTC))
    page.clock.run_for(14_000)
    expect_in(page, "new", 43)
    expect(column(page, "new", "3 leads")).to_be_visible()


def test_text_that_is_being_written_is_not_disturbed(board: Board, page: Page) -> None:
    notes = open_panel(page, 42).get_by_label("Notes")
    notes.fill(MINE)
    board.change(42, notes=THEIRS)
    page.evaluate(SHOW)
    expect(card(page, 42).or_(page.locator(".card").filter(has_text=THEIRS))).to_contain_text(
        THEIRS
    )
    expect(notes).to_have_value(MINE)
    expect(notes).to_be_focused()


def test_the_focus_stays_where_it_is(board: Board, page: Page) -> None:
    card(page, 41).focus()
    board.add(43)
    page.evaluate(SHOW)
    expect_in(page, "new", 43)
    expect(card(page, 41)).to_be_focused()


def test_an_answer_from_before_a_move_does_not_take_it_back(board: Board, page: Page) -> None:
    """The card does not jump back when an answer comes late that was given before the move."""
    held: list[tuple[Route, APIResponse]] = []

    def hold(route: Route) -> None:
        held.append((route, route.fetch()))

    page.route(re.compile("/board/.*status=new"), hold, times=1)
    with page.expect_request(re.compile("/board/.*status=new")):
        page.evaluate(SHOW)
    card(page, 42).focus()
    with answered(page):
        page.keyboard.press("2")
    ((route, answer),) = held
    later: list[Route] = []
    page.route(re.compile("/board/.*status=contacted"), lambda it: later.append(it), times=1)  # noqa: PLW0108  # see its annotations
    with page.expect_request(re.compile("/board/.*status=contacted")):  # once that one is shown
        route.fulfill(response=answer)
    expect_in(page, "contacted", 42)
    expect(card(page, 42)).to_have_count(1)
    expect(column(page, "new", r"1 lead\b")).to_be_visible()
    later[0].continue_()
