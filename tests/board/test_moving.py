"""Moving cards: by pointer, keys and menu; one and several; and back."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from leads_service.lead import STATUSES
from tests.board.conftest import Open
from tests.board.live import (
    SHOW,
    Board,
    answered,
    card,
    cards,
    column,
    expect_in,
    overflow,
)


@pytest.fixture(autouse=True)
def three_leads(board: Board) -> None:
    board.add(40, 41, 42)


def middle(place: Locator) -> tuple[float, float]:
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + min(box["height"] / 2, 100)


def drag(page: Page, what: Locator, to: Locator) -> None:
    """Take something with the mouse and carry it over something else, without letting go."""
    page.mouse.move(*middle(what))
    page.mouse.down()
    page.mouse.move(*middle(to), steps=10)


def test_the_columns(board: Board, sign_in: Open) -> None:
    board.add(*range(100, 109))
    board.add(5, status="qualified")
    page = sign_in()
    regions = page.get_by_role("region", name=re.compile("lead"))
    names = [re.compile(rf"^{status}, ") for status in STATUSES]
    expect(regions).to_have_count(len(STATUSES))
    for region, name in zip(regions.all(), names, strict=True):
        expect(region).to_have_accessible_name(name)
    expect(column(page, "new", "12 leads")).to_be_visible()
    expect(column(page, "qualified", r"1 lead\b")).to_be_visible()
    expect(column(page, "lost", "0 leads")).to_be_visible()
    newest = [re.compile(rf"^Company {company}\b") for company in (108, 107, 106)]
    for shown, name in zip(cards(column(page, "new")).all()[:3], newest, strict=True):
        expect(shown).to_have_accessible_name(name)


def test_with_the_mouse(board: Board, page: Page) -> None:
    with answered(page) as answers:
        drag(page, card(page, 42), column(page, "qualified"))
        page.mouse.up()
    assert answers[0].request.headers["if-match"]
    expect_in(page, "qualified", 42)
    expect(column(page, "new", "2 leads")).to_be_visible()
    expect(column(page, "qualified", r"1 lead\b")).to_be_visible()
    expect(card(page, 42)).to_be_focused()  # keys go on with it
    assert board.lead(42)["status"] == "qualified"
    page.reload()
    expect_in(page, "qualified", 42)


def test_esc_ends_a_drag(board: Board, page: Page) -> None:
    drag(page, card(page, 42), column(page, "qualified"))
    page.keyboard.press("Escape")
    page.mouse.up()
    expect_in(page, "new", 42)
    expect(column(page, "qualified", "0 leads")).to_be_visible()


def test_a_drag_outside_of_the_columns_moves_nothing(page: Page) -> None:
    drag(page, card(page, 42), page.get_by_role("button", name="Sign out"))
    page.mouse.up()
    expect_in(page, "new", 42)
    expect(column(page, "new", "3 leads")).to_be_visible()


def test_a_change_elsewhere_does_not_disturb_a_drag(board: Board, page: Page) -> None:
    drag(page, card(page, 42), column(page, "qualified"))
    board.add(43)
    page.evaluate(SHOW)
    with answered(page):
        page.mouse.move(*middle(column(page, "contacted")), steps=3)
        page.mouse.up()
    expect_in(page, "contacted", 42)
    page.evaluate(SHOW)
    expect_in(page, "new", 43, 41, 40)


def test_the_columns_scroll_during_a_drag(board: Board, page: Page) -> None:
    page.set_viewport_size({"width": 500, "height": 700})
    drag(page, card(page, 42), card(page, 40))
    last = column(page, "lost")
    expect(last).not_to_be_in_viewport(ratio=0.5)
    page.mouse.move(498, 350, steps=5)  # and there it stays, at the window's edge
    expect(last).to_be_in_viewport(ratio=0.5)
    with answered(page):
        page.mouse.move(*middle(last), steps=3)
        page.mouse.up()
    assert board.lead(42)["status"] == "lost"
    assert overflow(page) == 0


def test_by_its_number(board: Board, page: Page) -> None:
    for key, status in (
        (2, "contacted"),
        (3, "qualified"),
        (4, "converted"),
        (5, "lost"),
        (1, "new"),
    ):
        card(page, 42).focus()
        with answered(page):
            page.keyboard.press(str(key))
        expect_in(page, status, 42)
        expect(column(page, status, "3 leads" if status == "new" else r"1 lead\b")).to_be_visible()
        said = page.get_by_role("status").filter(has_text=f"Company 42 moved to {status}")
        expect(said).to_be_attached()
        assert board.lead(42)["status"] == status


def test_the_focus_goes_on_after_a_move(page: Page) -> None:
    """To the moved card or the next one, so that one can go on without the mouse."""
    card(page, 42).focus()
    with answered(page):
        page.keyboard.press("2")
    expect(cards(page).and_(page.locator(":focus"))).to_have_count(1)


def test_arrows_walk(board: Board, page: Page) -> None:
    board.change(41, status="contacted")
    page.evaluate(SHOW)
    expect_in(page, "contacted", 41)
    for key, company in (
        ("", 42),
        ("ArrowDown", 40),
        ("ArrowUp", 42),
        ("ArrowRight", 41),
        ("ArrowLeft", 42),
    ):
        if key:
            page.keyboard.press(key)
        else:
            card(page, company).focus()
        expect(card(page, company)).to_be_focused()


def test_all_cards_are_one_stop_of_tab(page: Page) -> None:
    def tab_until(reached: Callable[[], bool], key: str = "Tab") -> None:
        for _ in range(40):
            if reached():
                return
            page.keyboard.press(key)
        raise AssertionError("40 times Tab did not reach it")

    focused = cards(page).and_(page.locator(":focus"))
    tab_until(lambda: focused.count() == 1)
    page.keyboard.press("ArrowDown")
    expect(card(page, 41)).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(focused).to_have_count(0)
    tab_until(lambda: focused.count() == 1)
    expect(card(page, 41)).to_be_focused()


def test_by_the_menu(board: Board, page: Page) -> None:
    page.get_by_role("button", name="Move company 42").click()
    menu = page.get_by_role("menu", name="Move company 42")
    with answered(page):
        menu.get_by_role("menuitem", name="converted").click()
    expect(menu).to_be_hidden()
    expect_in(page, "converted", 42)
    assert board.lead(42)["status"] == "converted"


def test_by_the_menu_with_keys(board: Board, page: Page) -> None:
    page.get_by_role("button", name="Move company 42").focus()
    page.keyboard.press("Enter")
    item = page.get_by_role("menuitem", name="qualified")
    expect(item).to_be_visible()
    expect(page.get_by_role("menuitem").and_(page.locator(":focus"))).to_have_count(1)
    page.keyboard.press("Escape")
    expect(item).to_be_hidden()
    expect(card(page, 42).locator("css=:scope:focus, :focus")).to_have_count(1)
    page.get_by_role("button", name="Move company 42").press("Enter")
    for _ in STATUSES:
        if item.and_(page.locator(":focus")).count():
            break
        page.keyboard.press("ArrowDown")
    with answered(page):
        page.keyboard.press("Enter")
    expect_in(page, "qualified", 42)
    assert board.lead(42)["status"] == "qualified"


def select_by_boxes(page: Page) -> None:
    for company in (42, 40):
        page.get_by_role("checkbox", name=f"Select company {company}").check()


def select_by_clicks(page: Page) -> None:
    for company in (42, 40):
        card(page, company).click(modifiers=["Control"])


@pytest.mark.parametrize(
    ("select", "by"),
    [(select_by_boxes, "key"), (select_by_clicks, "menu"), (select_by_clicks, "drag")],
)
def test_several_at_once(board: Board, page: Page, select: Callable[[Page], None], by: str) -> None:
    select(page)
    with answered(page, times=2):
        if by == "key":
            card(page, 42).focus()
            page.keyboard.press("4")
        elif by == "menu":
            page.get_by_role("button", name="Move company 42").click()
            menu = page.get_by_role("menu", name="Move 2 leads")
            menu.get_by_role("menuitem", name="converted").click()
        else:
            drag(page, card(page, 42), column(page, "converted"))
            page.mouse.up()
    expect_in(page, "converted", 42, 40)
    expect_in(page, "new", 41)
    expect(column(page, "converted", "2 leads")).to_be_visible()
    statuses = {lead["company_id"]: lead["status"] for lead in board.leads()}
    assert statuses == {40: "converted", 41: "new", 42: "converted"}
    with answered(page, times=2):
        page.get_by_role("button", name="Undo").click()
    expect_in(page, "new", 42, 41, 40)
    expect(page.get_by_role("status")).to_have_text("2 leads are back in new")


def test_a_range_at_once(board: Board, page: Page) -> None:
    card(page, 42).click(modifiers=["Control"])
    card(page, 40).click(modifiers=["Shift"])
    with answered(page, times=3):
        page.keyboard.press("5")
    expect_in(page, "lost", 42, 41, 40)
    assert {lead["status"] for lead in board.leads()} == {"lost"}


def tops(page: Page) -> list[float]:
    """Return where the columns begin, on windows of several widths."""
    found = []
    for width in (390, 1024, *range(1200, 1460, 20)):
        page.set_viewport_size({"width": width, "height": 800})
        box = column(page, "new").bounding_box()
        assert box is not None
        found.append(box["y"])
    return found


def test_undo(board: Board, sign_in: Open) -> None:
    """The card is again as it was, and the page stays where it is."""
    board.clock.ago = timedelta(days=20)
    board.add(7)
    board.clock.ago = timedelta()
    page = sign_in()
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_hidden()
    before = tops(page)
    card(page, 7).focus()
    with answered(page):
        page.keyboard.press("3")
    expect_in(page, "qualified", 7)
    expect(undo).to_be_visible()
    assert tops(page) == before
    with answered(page):
        undo.click()
    expect_in(page, "new", 7)
    expect(card(page, 7)).to_contain_text("20 days")
    expect(page.get_by_role("status")).to_have_text("Company 7 is back in new")
    expect(column(page, "new", "4 leads")).to_be_visible()
    expect(undo).to_be_hidden()
    assert board.lead(7)["status"] == "new"


def test_what_is_said_is_seen_for_some_seconds(blank: Open, board: Board) -> None:
    """And stays for those who read it out."""
    page = blank()
    page.clock.install()
    page.goto(board.link(board.alice))
    said = page.get_by_role("status")
    page.get_by_role("checkbox", name="Select company 42").check()
    expect(said).to_have_text("1 lead selected")
    assert width_of(said) > 50
    page.clock.fast_forward(5_000)
    page.get_by_role("checkbox", name="Select company 41").check()
    expect(said).to_have_text("2 leads selected")
    page.clock.fast_forward(5_000)
    assert width_of(said) > 50
    page.clock.fast_forward(1_000)
    assert width_of(said) == 1
    expect(said).to_have_text("2 leads selected")


def width_of(place: Locator) -> float:
    box = place.bounding_box()
    assert box is not None
    return box["width"]
