"""Thousands of cards: all of them can be reached, and the page does not grow with them."""

import pytest
from playwright.sync_api import Page, expect

from tests.board.live import SHOW, Board, answered, card, cards, column, expect_in

MANY = 5_000
BOUND = 2_000  # elements of the page
ELEMENTS = "document.querySelectorAll('*').length"
LOWEST = """before => Math.min(...[...document.querySelectorAll('li[aria-label^=Company]')]
    .map(it => Number(it.getAttribute('aria-label').match(/\\d+/)[0]))) < before"""


@pytest.fixture(autouse=True)
def many_leads(board: Board) -> None:
    board.add(*range(1, MANY + 1))


def elements(page: Page) -> int:
    count: int = page.evaluate(ELEMENTS)
    return count


def lowest(page: Page) -> int:
    last = cards(column(page, "new")).last.get_attribute("aria-label") or ""
    return int(last.split()[1].strip(","))


def test_scrolling_to_the_thousandth(board: Board, page: Page) -> None:
    expect(column(page, "new", "5,000 leads")).to_be_visible()
    expect(column(page, "new").get_by_text("5,000 leads")).to_be_visible()
    card(page, MANY).hover()
    most = elements(page)
    while (last := lowest(page)) > MANY - 1_000:
        page.mouse.wheel(0, 2_000)
        page.wait_for_function(LOWEST, arg=last)
        most = max(most, elements(page))
    assert most < BOUND
    there = card(page, last)
    there.scroll_into_view_if_needed()
    there.focus()
    with answered(page):
        page.keyboard.press("2")
    expect_in(page, "contacted", last)
    expect(column(page, "new", "4,999 leads")).to_be_visible()
    assert board.lead(last)["status"] == "contacted"
    board.add(MANY + 1)
    page.evaluate(SHOW)
    expect(column(page, "new", "5,000 leads")).to_be_visible()
    expect(card(page, last - 1)).to_be_visible()  # where one is, one stays


def test_each_card_is_there_once(page: Page) -> None:
    """One card after the other with the arrow, across the border of a page."""
    card(page, MANY).focus()
    for company in range(MANY - 1, MANY - 61, -1):
        page.keyboard.press("ArrowDown")
        expect(card(page, company)).to_be_focused()
    assert elements(page) < BOUND
