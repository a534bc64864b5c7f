"""Answers that come late, what one does meanwhile, and where the focus is after what has gone."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Route, expect

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
    hold,
    move_and_hold,
    open_panel,
    panel,
    press_and_hold,
)

SAID = re.compile(".")
FULL = {"code": 503, "status": "Service Unavailable", "message": "The disk is full."}


@pytest.fixture(autouse=True)
def three_leads(board: Board) -> None:
    board.add(40, 41, 42, notes="Met at the fair")


def alert(page: Page) -> Locator:
    return page.get_by_role("alert").filter(has_text=SAID)


# The panel


def test_the_panel_that_was_asked_for_last_is_shown(board: Board, page: Page) -> None:
    route = move_and_hold(page, 42, "Enter")
    notes = open_panel(page, 41).get_by_label("Notes")
    with page.expect_response(re.compile("/history")) as late:
        route.continue_()
    late.value.finished()
    notes.fill("of 41")
    with answered(page):
        notes.press("Control+Enter")
    expect(panel(page, 41)).to_be_visible()
    assert board.lead(41)["notes"] == "of 41"
    assert board.lead(42)["notes"] == "Met at the fair"


def test_a_late_deletion_closes_no_other_panel(page: Page) -> None:
    open_panel(page, 42).get_by_role("button", name="Delete").click()
    sure = page.get_by_role("button", name="Delete for good")
    route = hold(page, sure.click)
    page.keyboard.press("Escape")
    it = open_panel(page, 41)
    route.continue_()
    expect(page.locator(".card").filter(has_text="Company 42")).to_have_count(0)
    expect(it).to_be_visible()


@pytest.mark.parametrize("other", [None, 41])
def test_a_late_refusal_is_told_on_the_board(
    page: Page, complaints: Complaints, other: int | None
) -> None:
    complaints.expect_status(503)
    status = open_panel(page, 42).get_by_label("Status")
    route = hold(page, lambda: status.select_option("qualified"))
    page.keyboard.press("Escape")
    expect(panel(page, 42)).to_be_hidden()
    if other:
        open_panel(page, other)
    route.fulfill(status=503, json=FULL)
    expect(alert(page)).to_contain_text("Company 42 stays new: The disk is full.")
    if other:
        expect(panel(page, other)).to_be_visible()
        page.keyboard.press("Escape")
    expect_in(page, "new", 42)


def test_a_late_status_does_not_show_in_another_panel(board: Board, page: Page) -> None:
    status = open_panel(page, 42).get_by_label("Status")
    route = hold(page, lambda: status.select_option("qualified"))
    page.keyboard.press("Escape")
    it = open_panel(page, 41)
    with answered(page):
        route.continue_()
    expect(page.get_by_role("status")).to_have_text("Company 42 moved to qualified")
    expect(it.get_by_label("Status")).to_have_value("new")
    assert board.lead(42)["status"] == "qualified"


def test_what_is_written_while_notes_are_on_their_way(board: Board, page: Page) -> None:
    notes = open_panel(page, 42).get_by_label("Notes")
    notes.fill("first")
    route = press_and_hold(page, "Control+Enter")
    notes.fill("second")
    route.continue_()
    expect(page.get_by_role("status")).to_have_text("Notes of company 42 saved")
    expect(notes).to_have_value("second")
    assert board.lead(42)["notes"] == "first"


def test_notes_that_are_saved_twice(board: Board, page: Page) -> None:
    """The second time while the first one is on its way: that is no change elsewhere."""
    notes = open_panel(page, 42).get_by_label("Notes")
    notes.fill("first")
    route = press_and_hold(page, "Control+Enter")
    notes.fill("second")
    page.keyboard.press("Control+Enter")
    with answered(page, times=2) as answers:
        route.continue_()
    assert [answer.status for answer in answers] == [200, 200]
    assert board.lead(42)["notes"] == "second"


def test_what_is_written_while_a_status_is_on_its_way(page: Page) -> None:
    it = open_panel(page, 42)
    route = hold(page, lambda: it.get_by_label("Status").select_option("qualified"))
    it.get_by_label("Notes").fill("written meanwhile")
    route.continue_()
    expect(it.get_by_role("list", name="History")).to_contain_text("qualified")
    expect(it.get_by_label("Notes")).to_have_value("written meanwhile")


def test_notes_with_carriage_returns_are_not_changed_yet(board: Board, page: Page) -> None:
    board.change(42, notes="one\r\ntwo")
    it = open_panel(page, 42)
    page.keyboard.press("Escape")
    expect(it).to_be_hidden()


# A session that ends


def sign_in_again(board: Board, page: Page) -> None:
    page.get_by_label("Token").fill(board.alice)
    page.get_by_role("button", name="Sign in").click()
    expect_in(page, "new", 42)


@pytest.fixture
def unsaved(board: Board, page: Page, complaints: Complaints) -> None:
    """Notes that were written before the session ended, and nobody has saved."""
    complaints.expect_status(401)
    open_panel(page, 42).get_by_label("Notes").fill("not saved")
    page.context.clear_cookies()
    page.evaluate(SHOW)
    expect(page.get_by_label("Token")).to_be_visible()
    sign_in_again(board, page)


@pytest.mark.usefixtures("unsaved")
def test_unsaved_notes_are_there_after_signing_in_again(
    board: Board, page: Page, complaints: Complaints
) -> None:
    complaints.expect_status(412)
    board.change(42, notes="theirs")
    notes = open_panel(page, 42).get_by_label("Notes")
    expect(notes).to_have_value("not saved")
    notes.press("Control+Enter")
    page.get_by_role("dialog", name="Changed elsewhere").get_by_text("Keep mine").last.click()
    expect(page.get_by_role("status")).to_have_text("Notes of company 42 saved")
    assert board.lead(42)["notes"] == "not saved"
    page.keyboard.press("Escape")
    expect(panel(page, 42)).to_be_hidden()


@pytest.mark.usefixtures("unsaved")
def test_signing_out_drops_unsaved_notes(board: Board, page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    sign_in_again(board, page)
    expect(open_panel(page, 42).get_by_label("Notes")).to_have_value("Met at the fair")


# Moves


def test_a_card_that_vanishes_below_the_pointer(board: Board, page: Page) -> None:
    """Nothing is dragged then, and what others do still appears."""
    box = card(page, 42).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    board.delete(42)
    page.evaluate(SHOW)
    expect(card(page, 42)).to_have_count(0)
    page.mouse.move(box["x"] + 300, box["y"] + 60, steps=3)
    board.add(43)
    page.evaluate(SHOW)
    expect_in(page, "new", 43)
    page.mouse.up()


def test_undo_of_what_has_moved_on_elsewhere(board: Board, page: Page) -> None:
    for company in (41, 42):
        page.get_by_role("checkbox", name=f"Select company {company}").check()
    with answered(page, times=2):
        page.keyboard.press("2")
    board.change(42, status="converted")
    page.evaluate(SHOW)
    expect_in(page, "converted", 42)
    with answered(page):
        page.keyboard.press("u")
    expect(alert(page)).to_contain_text("Company 42 is now converted; it was not moved back.")
    expect_in(page, "new", 41)
    assert board.lead(42)["status"] == "converted"


def test_the_menu_of_a_card_that_is_gone(board: Board, page: Page) -> None:
    page.get_by_role("button", name="Move company 42").click()
    board.delete(42)
    page.evaluate(SHOW)
    expect(card(page, 42)).to_have_count(0)
    page.get_by_role("menuitem", name="contacted").click()
    expect(alert(page)).to_contain_text("Company 42 is gone")
    expect(card(page, 41)).to_be_focused()


def test_leaving_while_a_move_is_on_its_way(page: Page, complaints: Complaints) -> None:
    complaints.expect("dialog beforeunload")
    move_and_hold(page, 42, "2")
    with page.expect_event("dialog") as asked:
        page.reload()
    assert asked.value.type == "beforeunload"


def test_a_retry_after_the_dialog_was_closed_makes_one(
    board: Board, page: Page, complaints: Complaints
) -> None:
    complaints.expect_no_server()
    it = page.get_by_role("dialog", name="New lead")

    def create(*, discard: bool) -> None:
        page.keyboard.press("n")
        it.get_by_label("Company").fill("77")
        it.get_by_role("button", name="Create").click()
        if discard:
            expect(it.get_by_role("alert")).to_have_text(SAID)
            it.get_by_role("button", name="Cancel").click()
            page.get_by_role("button", name="Discard").click()
        expect(it).to_be_hidden()

    def lose_answer(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/v1/leads", lose_answer, times=1)
    create(discard=True)
    page.evaluate(SHOW)
    expect_in(page, "new", 77)
    create(discard=False)
    expect(column(page, "new", "4 leads")).to_be_visible()
    assert len(board.leads(company_id=77)) == 1
    create(discard=False)  # another one
    expect(column(page, "new", "5 leads")).to_be_visible()
    assert len(board.leads(company_id=77)) == 2


# What a failed load has said


def test_a_refresh_takes_back_only_what_loading_has_said(
    page: Page, complaints: Complaints
) -> None:
    complaints.expect_no_server()
    complaints.expect_status(503)

    def fail() -> None:
        page.context.set_offline(True)
        page.keyboard.press("/")
        page.keyboard.type("42")
        page.keyboard.press("Enter")
        expect(alert(page)).to_contain_text("does not answer")
        page.context.set_offline(False)

    def recover() -> None:
        with page.expect_response(re.compile("status=lost")):
            page.evaluate(SHOW)
        expect_in(page, "new", 42)

    fail()
    recover()
    expect(alert(page)).to_have_count(0)
    page.context.set_offline(True)
    page.evaluate(SHOW)
    expect(alert(page)).to_contain_text("does not answer")
    page.context.set_offline(False)
    page.route(ONE_LEAD, lambda route: route.fulfill(status=503, json=FULL), times=1)
    card(page, 42).focus()
    page.keyboard.press("2")
    expect(alert(page)).to_contain_text("The disk is full.")
    recover()
    recover()
    expect(alert(page)).to_contain_text("The disk is full.")


# Signing in


@pytest.mark.parametrize("token", ["%zz", "%E2%82%AC", "a%0Ab"])
def test_what_is_no_token(board: Board, blank: Open, token: str) -> None:
    page = blank()
    page.goto(board.link(token))
    expect(page.get_by_role("alert")).to_contain_text("This is not a token.")
    sign_in_again(board, page)


@pytest.mark.parametrize("status", [429, 503])
def test_signing_in_that_is_refused(
    board: Board, blank: Open, complaints: Complaints, status: int
) -> None:
    complaints.expect_status(status)
    page = blank()
    answer = {"code": status, "message": "Come back later."}
    page.route("**/board/session", lambda it: it.fulfill(status=status, json=answer), times=1)
    page.goto(board.link(board.alice))
    expect(page.get_by_role("alert")).to_contain_text("Come back later.")
    sign_in_again(board, page)


# The focus


def delete_in_panel(page: Page, company: int) -> None:
    open_panel(page, company).get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete for good").click()


def undo_by_button(page: Page) -> None:
    card(page, 42).focus()
    with answered(page):
        page.keyboard.press("2")
    card(page, 42).focus()
    with answered(page):
        page.get_by_role("button", name="Undo").click()
    expect_in(page, "new", 42)


@pytest.mark.parametrize(
    ("act", "company"),
    [(lambda page: delete_in_panel(page, 42), 41), (undo_by_button, 42)],
)
def test_the_focus_after(page: Page, act: Callable[[Page], None], company: int) -> None:
    act(page)
    expect(card(page, company)).to_be_focused()


def test_the_focus_after_many_were_moved(board: Board, page: Page) -> None:
    """More than are moved at a time."""
    board.add(43, 44, 45)
    page.evaluate(SHOW)
    for company in range(41, 46):
        page.get_by_role("checkbox", name=f"Select company {company}").check()
    with answered(page, times=5):
        page.keyboard.press("2")
    expect(card(page, 40)).to_be_focused()


def test_the_focus_after_the_last_lead(page: Page) -> None:
    for company in (42, 41, 40):
        delete_in_panel(page, company)
        expect(panel(page, company)).to_be_hidden()
    expect(page.get_by_role("button", name="New lead")).to_be_focused()


def test_the_focus_after_a_change_elsewhere(board: Board, page: Page) -> None:
    """To the next card of the column, whether that one was moved or deleted."""
    card(page, 42).focus()
    board.add(43)
    board.change(42, status="contacted")
    page.evaluate(SHOW)
    expect(card(page, 41)).to_be_focused()
    expect_in(page, "contacted", 42)
    board.delete(41)
    page.evaluate(SHOW)
    expect(card(page, 40)).to_be_focused()
    board.delete(40)
    page.evaluate(SHOW)
    expect(card(page, 43)).to_be_focused()  # there is none after it


def test_the_focus_after_the_only_card_of_a_column_was_not_moved(
    board: Board, page: Page, complaints: Complaints
) -> None:
    complaints.expect_status(503)
    complaints.expect_status(412)
    board.delete(40)
    board.delete(41)
    page.evaluate(SHOW)
    expect(column(page, "new", r"1 lead\b")).to_be_visible()
    route = move_and_hold(page, 42, "2")
    expect_in(page, "contacted", 42)
    route.fulfill(status=503, json=FULL)
    expect_in(page, "new", 42)
    expect(card(page, 42)).to_be_focused()
    board.change(42, status="lost")
    page.keyboard.press("2")
    expect(page.get_by_role("dialog", name="Changed elsewhere")).to_be_visible()
    page.keyboard.press("Escape")
    expect(card(column(page, "lost"), 42)).to_be_focused()
