"""Keys that are no card's, and what is said of them."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.board.live import Board, answered, card, column, expect_in, filters, open_panel


@pytest.fixture(autouse=True)
def one_lead(board: Board) -> None:
    board.add(42)


def test_the_list_of_keys(page: Page) -> None:
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    for key in ("Arrow", "Home", "1 … 5", "Ctrl-Enter", "Shift-click", "n", "/", "?", "Esc"):
        expect(keys.get_by_text(key).first).to_be_visible()
    expect(keys).to_contain_text("move to new, contacted, qualified, converted, lost")
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()


def test_the_filters(page: Page) -> None:
    page.keyboard.press("/")
    company = filters(page).get_by_label("Company")
    expect(company).to_be_focused()
    expect(company).to_have_value("")
    page.keyboard.press("Escape")
    expect(card(page, 42)).to_be_focused()


def test_a_new_lead(page: Page) -> None:
    card(page, 42).focus()
    page.keyboard.press("n")
    it = page.get_by_role("dialog", name="New lead")
    expect(it.get_by_label("Company")).to_be_focused()
    page.keyboard.press("Escape")
    expect(it).to_be_hidden()
    expect(card(page, 42)).to_be_focused()


def test_the_focus_stays_in_a_panel(page: Page) -> None:
    it = open_panel(page, 42)
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
    page.keyboard.press("Escape")
    expect(it).to_be_hidden()


def test_keys_are_text_in_a_filter(page: Page) -> None:
    card(page, 42).focus()
    page.keyboard.press("/")
    page.keyboard.type("n/?2u")
    expect(filters(page).get_by_label("Company")).to_have_value("n/?2u")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(column(page, "new", r"1 lead\b")).to_be_visible()


def test_keys_with_ctrl_are_the_browsers(page: Page) -> None:
    card(page, 42).focus()
    page.keyboard.press("Control+2")
    page.keyboard.press("Alt+n")
    expect(page.get_by_role("region", name=re.compile("^new, 1 lead"))).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_focus_is_visible(page: Page) -> None:
    card(page, 42).focus()
    page.keyboard.press("ArrowDown")
    style = card(page, 42).evaluate(
        "it => (s => [s.outlineStyle, parseFloat(s.outlineWidth)])(getComputedStyle(it))"
    )
    assert style[0] != "none"
    assert style[1] >= 2


def test_a_key_that_is_held_acts_once(board: Board, page: Page) -> None:
    board.add(43, 44)
    page.reload()
    card(page, 44).focus()
    with answered(page):
        for _ in range(3):
            page.keyboard.down("2")
    page.keyboard.up("2")
    expect_in(page, "contacted", 44)
    expect(column(page, "new", "2 leads")).to_be_visible()
    card(page, 43).focus()
    for _ in range(3):
        page.keyboard.down(" ")
    page.keyboard.up(" ")
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(1)


def test_an_arrow_that_is_held_goes_on(board: Board, page: Page) -> None:
    board.add(43, 44)
    page.reload()
    card(page, 44).focus()
    for company in (43, 42):
        page.keyboard.down("ArrowDown")
        expect(card(page, company)).to_be_focused()


def test_a_key_that_is_held_writes_nothing_into_what_it_opens(page: Page) -> None:
    company = page.get_by_role("dialog", name="New lead").get_by_label("Company")
    page.keyboard.down("n")
    expect(company).to_be_focused()
    page.keyboard.down("n")
    page.keyboard.up("n")
    page.keyboard.down("7")
    page.keyboard.down("7")
    expect(company).to_have_value("77")


def test_a_click_beside_a_dialog_is_an_esc(page: Page) -> None:
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    box = keys.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(5, 5)
    page.mouse.up()  # a selection of text that ends there
    page.mouse.click(box["x"] + 4, box["y"] + 4)
    expect(keys).to_be_visible()
    page.mouse.click(5, 5)
    expect(keys).to_be_hidden()
    it = open_panel(page, 42)
    it.get_by_label("Notes").fill("not saved")
    page.mouse.click(5, 5)
    expect(page.get_by_role("dialog", name="Discard your changes?")).to_be_visible()
    page.mouse.click(5, 5)
    expect(page.get_by_role("dialog", name="Discard your changes?")).to_be_hidden()
    expect(it.get_by_label("Notes")).to_have_value("not saved")
