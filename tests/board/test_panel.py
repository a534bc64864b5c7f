"""A lead's panel, and new leads."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Request, Route, expect

from tests.board.conftest import Open
from tests.board.live import (
    SHOW,
    Board,
    Complaints,
    answered,
    card,
    cards,
    column,
    expect_in,
    open_panel,
    panel,
)


@pytest.fixture(autouse=True)
def one_lead(board: Board) -> None:
    board.add(42, notes="Met at the fair")


def open_new(page: Page) -> Locator:
    page.keyboard.press("n")
    return page.get_by_role("dialog", name="New lead")


def test_what_it_shows(board: Board, page: Page) -> None:
    board.change(42, status="contacted")
    page.evaluate(SHOW)
    expect_in(page, "contacted", 42)
    it = open_panel(page, 42)
    expect(it.get_by_label("Notes")).to_have_value("Met at the fair")
    expect(it.get_by_label("Status")).to_have_value("contacted")
    expect(it.get_by_text(re.compile(r"\b15 / 10,000"))).to_be_visible()
    expect(it.get_by_text(str(board.lead(42)["score"]), exact=True)).to_be_visible()
    history = it.get_by_role("list", name="History").get_by_role("listitem")
    expect(history).to_have_count(2)
    expect(history.filter(has_text="contacted")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(it).to_be_hidden()
    expect(card(page, 42)).to_be_focused()


def test_a_click_opens_it(page: Page) -> None:
    card(page, 42).click()
    expect(panel(page, 42)).to_be_visible()


def test_notes_are_saved_by_ctrl_enter(board: Board, page: Page) -> None:
    notes = open_panel(page, 42).get_by_label("Notes")
    notes.fill("Wants a demo 🎉")
    expect(panel(page, 42).get_by_text(re.compile(r"\b14 / 10,000"))).to_be_visible()
    with answered(page):
        notes.press("Control+Enter")
    said = "Notes of company 42 saved"
    expect(panel(page, 42).get_by_role("status")).to_have_text(said)  # above what is inert
    assert board.lead(42)["notes"] == "Wants a demo 🎉"
    page.keyboard.press("Escape")
    expect(panel(page, 42)).to_be_hidden()
    expect(card(page, 42)).to_contain_text("Wants a demo 🎉")
    expect(page.get_by_role("status")).to_have_text(said)


def test_notes_are_saved_by_the_button(board: Board, page: Page) -> None:
    it = open_panel(page, 42)
    it.get_by_label("Notes").fill("one\ntwo")
    with answered(page) as answers:
        it.get_by_role("button", name="Save notes").click()
    assert answers[0].request.headers["if-match"]
    assert board.lead(42)["notes"] == "one\ntwo"


def test_notes_that_are_too_long(board: Board, page: Page, complaints: Complaints) -> None:
    """The service refuses them, and says so where they are, and they are still there."""
    complaints.expect_status(422)
    it = open_panel(page, 42)
    notes = it.get_by_label("Notes")
    notes.fill("x" * 10_001)
    expect(it.get_by_text(re.compile("10,001 / 10,000"))).to_be_visible()
    notes.press("Control+Enter")
    expect(it.get_by_role("alert")).to_have_text(re.compile("10,?000"))
    expect(notes).to_have_attribute("aria-invalid", "true")
    expect(notes).to_have_value("x" * 10_001)
    assert board.lead(42)["notes"] == "Met at the fair"
    notes.fill("short")
    with answered(page):
        notes.press("Control+Enter")
    expect(it.get_by_role("alert").filter(has_text=re.compile("."))).to_have_count(0)
    expect(notes).not_to_have_attribute("aria-invalid", "true")


def test_text_that_was_not_saved_is_not_lost_by_esc(board: Board, page: Page) -> None:
    it = open_panel(page, 42)
    it.get_by_label("Notes").fill("not saved")
    question = page.get_by_role("dialog", name="Discard your changes?")
    page.keyboard.press("Escape")
    expect(question).to_be_visible()
    question.get_by_role("button", name="Keep editing").click()
    expect(question).to_be_hidden()
    expect(it.get_by_label("Notes")).to_have_value("not saved")
    page.keyboard.press("Escape")
    expect(question).to_be_visible()
    page.keyboard.press("Escape")  # keeps, as what loses nothing
    expect(question).to_be_hidden()
    expect(it.get_by_label("Notes")).to_have_value("not saved")
    page.keyboard.press("Escape")
    question.get_by_role("button", name="Discard").click()
    expect(it).to_be_hidden()
    expect(open_panel(page, 42).get_by_label("Notes")).to_have_value("Met at the fair")
    assert board.lead(42)["notes"] == "Met at the fair"


def test_text_that_was_not_saved_is_not_lost_by_leaving(page: Page, complaints: Complaints) -> None:
    complaints.expect("dialog beforeunload")
    open_panel(page, 42).get_by_label("Notes").fill("not saved")
    with page.expect_event("dialog") as asked:
        page.reload()
    assert asked.value.type == "beforeunload"


def test_the_status_in_the_panel(board: Board, page: Page) -> None:
    it = open_panel(page, 42)
    with answered(page):
        it.get_by_label("Status").select_option("qualified")
    expect(it.get_by_role("list", name="History")).to_contain_text("qualified")
    page.keyboard.press("Escape")
    expect_in(page, "qualified", 42)
    assert board.lead(42)["status"] == "qualified"


def test_delete_asks_once_more(board: Board, page: Page) -> None:
    it = open_panel(page, 42)
    it.get_by_role("button", name="Delete").click()
    sure = page.get_by_role("button", name="Delete for good")
    expect(sure).to_be_visible()
    page.keyboard.press("Escape")
    expect(sure).to_be_hidden()
    assert board.lead(42)
    it.get_by_role("button", name="Delete", exact=True).click()
    with answered(page, "DELETE") as answers:
        sure.click()
    assert answers[0].request.headers["if-match"]
    expect(it).to_be_hidden()
    expect(card(page, 42)).to_have_count(0)
    expect(column(page, "new", "0 leads")).to_be_visible()
    assert board.leads() == []


def test_a_new_lead(board: Board, page: Page) -> None:
    it = open_new(page)
    expect(it.get_by_label("Company")).to_be_focused()
    it.get_by_label("Company").fill("77")
    it.get_by_label("Notes").fill("Called")
    with answered(page, "POST") as answers:
        it.get_by_role("button", name="Create").click()
    assert answers[0].request.headers["idempotency-key"]
    expect(it).to_be_hidden()
    expect_in(page, "new", 77)
    expect(column(page, "new", "2 leads")).to_be_visible()
    assert board.lead(77)["notes"] == "Called"


def test_companies_beyond_the_exact_numbers_of_javascript(board: Board, page: Page) -> None:
    great = 2**53 + 1
    it = open_new(page)
    it.get_by_label("Company").fill(str(great))
    with answered(page, "POST"):
        it.get_by_role("button", name="Create").click()
    expect_in(page, "new", great)
    page.reload()
    expect(open_panel(page, great)).to_be_visible()
    assert board.lead(great)


def test_a_lead_that_was_just_created_is_not_unsaved(board: Board, page: Page) -> None:
    """Even before the event that follows the closing of its form."""
    keep = "(dialog) => dialog.addEventListener('close', (e) => e.stopImmediatePropagation(), true)"
    it = open_new(page)
    page.locator("#new-lead").evaluate(keep)
    it.get_by_label("Company").fill("77")
    with answered(page, "POST"):
        it.get_by_role("button", name="Create").click()
    expect_in(page, "new", 77)
    page.reload()
    expect(card(page, 77)).to_be_visible()


def test_a_second_new_lead_is_another_one(board: Board, page: Page) -> None:
    for _ in range(2):
        it = open_new(page)
        expect(it.get_by_label("Company")).to_have_value("")
        it.get_by_label("Company").fill("77")
        it.get_by_label("Company").press("Enter")
        expect(it).to_be_hidden()
    expect(column(page, "new", "3 leads")).to_be_visible()
    assert len(board.leads(company_id=77)) == 2


def test_a_double_click_makes_one(board: Board, page: Page) -> None:
    posts: list[Request] = []
    page.on("request", lambda request: posts.append(request) if request.method == "POST" else None)
    it = open_new(page)
    it.get_by_label("Company").fill("77")
    it.get_by_role("button", name="Create").dblclick()
    expect(it).to_be_hidden()
    for post in posts:
        assert post.response() is not None
    expect(column(page, "new", "2 leads")).to_be_visible()
    page.reload()
    expect(column(page, "new", "2 leads")).to_be_visible()
    assert len(board.leads(company_id=77)) == 1


def test_a_retry_makes_one(board: Board, page: Page, complaints: Complaints) -> None:
    """The answer to the first request is lost on its way, and the user tries once more."""
    complaints.expect_no_server()

    def lose_answer(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/v1/leads", lose_answer, times=1)
    it = open_new(page)
    it.get_by_label("Company").fill("77")
    it.get_by_role("button", name="Create").click()
    expect(it.get_by_role("alert")).to_have_text(re.compile("."))
    assert len(board.leads(company_id=77)) == 1
    it.get_by_role("button", name="Create").click()
    expect(it).to_be_hidden()
    expect_in(page, "new", 77)
    expect(column(page, "new", "2 leads")).to_be_visible()
    assert len(board.leads(company_id=77)) == 1


def test_a_company_that_is_none(board: Board, page: Page, complaints: Complaints) -> None:
    complaints.expect_status(422)
    it = open_new(page)
    company = it.get_by_label("Company")
    for text in ("0", "seven", "9223372036854775808"):
        company.fill(text)
        with answered(page, "POST"):
            it.get_by_role("button", name="Create").click()
        expect(company).to_have_attribute("aria-invalid", "true")
        expect(company).to_have_accessible_description(re.compile("."))
        expect(it.get_by_role("alert")).to_have_text(re.compile("^Company: "))
    company.fill("77")
    it.get_by_role("button", name="Create").click()
    expect(it).to_be_hidden()
    expect_in(page, "new", 77)
    assert len(board.leads()) == 2


@pytest.mark.parametrize("by", ["Cancel", "Escape"])
def test_text_of_a_new_lead_is_lost_only_if_one_says_so(page: Page, by: str) -> None:
    def leave() -> None:
        if by == "Cancel":
            it.get_by_role("button", name="Cancel").click()
        else:
            page.keyboard.press("Escape")

    it = open_new(page)
    it.get_by_label("Notes").fill("not saved")
    leave()
    question = page.get_by_role("dialog", name="Discard your changes?")
    question.get_by_role("button", name="Keep editing").click()
    expect(it.get_by_label("Notes")).to_have_value("not saved")
    leave()
    question.get_by_role("button", name="Discard").click()
    expect(it).to_be_hidden()
    open_new(page)
    expect(it.get_by_label("Notes")).to_have_value("")
    expect(it.get_by_text(re.compile(r"^0 / 10,000"))).to_be_visible()
    leave()
    expect(it).to_be_hidden()


def test_a_key_just_after_a_dialog_has_closed(page: Page) -> None:
    it = open_new(page)
    it.get_by_label("Notes").focus()
    page.evaluate(
        """() => {
            document.activeElement.closest("dialog").close();
            const key = new KeyboardEvent("keydown", {key: "n", bubbles: true, cancelable: true});
            document.activeElement.dispatchEvent(key);
        }"""
    )
    expect(it).to_be_visible()


@pytest.mark.parametrize("field", ["Company", "Notes"])
def test_a_new_lead_by_ctrl_enter(board: Board, page: Page, field: str) -> None:
    it = open_new(page)
    expect(it.get_by_label("Company")).to_have_attribute("placeholder", re.compile("number"))
    it.get_by_label("Company").fill("77")
    it.get_by_label(field).press("Control+Enter")
    expect(it).to_be_hidden()
    expect_in(page, "new", 77)
    expect(page.get_by_role("status")).to_have_text("Company 77 created")
    assert len(board.leads(company_id=77)) == 1


@pytest.mark.parametrize("show", [lambda page: open_panel(page, 42), open_new])
def test_the_end_of_a_session_leaves_no_text_behind(
    page: Page, complaints: Complaints, show: Callable[[Page], Locator]
) -> None:
    """Nor does it hold the page back, of which nothing is seen any more."""
    complaints.expect_status(401)
    show(page).get_by_label("Notes").fill("not saved")
    page.context.clear_cookies()
    page.evaluate(SHOW)
    expect(page.get_by_label("Token")).to_be_visible()
    for notes in page.locator("textarea").all():
        expect(notes).to_have_value("")
    page.reload()


def test_a_lead_that_is_deleted_elsewhere(board: Board, page: Page, complaints: Complaints) -> None:
    complaints.expect_status(404)
    it = open_panel(page, 42)
    it.get_by_label("Notes").fill("not saved")
    board.delete(42)
    it.get_by_label("Notes").press("Control+Enter")
    expect(it.get_by_role("alert")).to_contain_text("deleted meanwhile; copy your notes")
    expect(it.get_by_label("Notes")).to_have_value("not saved")


def test_keys_are_text_where_text_is_written(board: Board, page: Page) -> None:
    notes = open_panel(page, 42).get_by_label("Notes")
    notes.fill("")
    notes.press_sequentially("n/?2u")
    expect(notes).to_have_value("n/?2u")
    assert board.lead(42)["status"] == "new"
    expect(page.get_by_role("dialog")).to_have_count(1)


def test_a_lead_has_an_address(board: Board, sign_in: Open) -> None:
    """It is that of its open panel, with the filters, and opens the panel elsewhere."""
    board.add(41)
    page = sign_in(query="?company_id=42")
    open_panel(page, 42)
    address = f"{board.url}?company_id=42&lead={board.lead(42)['id']}"
    expect(page).to_have_url(address)
    page.reload()
    expect(panel(page, 42)).to_be_visible()
    expect(cards(page)).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page).to_have_url(f"{board.url}?company_id=42")
    other = sign_in(query=address.partition("/board")[2])
    expect(panel(other, 42)).to_be_visible()


def test_an_address_of_no_lead_of_mine(board: Board, sign_in: Open, complaints: Complaints) -> None:
    complaints.expect_status(404)
    board.add(7, user="bob")
    page = sign_in()
    for lead in (board.lead(7, "bob")["id"], 999, 0, "x", "", "../leads?limit=1"):
        page.goto(f"{board.url}?lead={lead}")
        expect(page.get_by_role("alert")).to_contain_text("There is no such lead.")
        expect(page).to_have_url(board.url)
        expect(page.get_by_role("dialog")).to_have_count(0)
