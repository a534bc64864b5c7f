"""Keys that are no card's, and what is said of them."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.board.live import Board, card, column, filters, open_panel


@pytest.fixture(autouse=True)
def one_lead(board: Board) -> None:
    board.add(42)


def test_the_list_of_keys(page: Page) -> None:
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    for key in ("Arrow", "1 … 5", "Enter", "n", "/", "?", "Esc"):
        expect(keys.get_by_text(key).first).to_be_visible()
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
