"""For everyone: on narrow and wide screens, in light and dark, without a mouse, without scripts."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.board.axe import Axe
from tests.board.conftest import Open
from tests.board.live import (
    Board,
    Complaints,
    answered,
    card,
    column,
    expect_in,
    filters,
    open_panel,
    overflow,
)

THEIRS = "https://example.com/" + "x" * 200
LONG = "Budget approved for next quarter; procurement needs three offers. " * 4


@pytest.fixture
def stale_leads(board: Board) -> None:
    """Leads of every status and every age that is marked."""
    for days, companies, fields in (
        (45, (1, 2), {}),
        (45, (3,), {"status": "lost"}),
        (20, (4,), {"notes": LONG}),
        (20, (5,), {"status": "qualified", "notes": "מעוניינים"}),
        (1, (6,), {"status": "contacted"}),
        (0, (42,), {"notes": LONG}),
    ):
        board.clock.ago = timedelta(days=days)
        board.add(*companies, **fields)
    board.clock.ago = timedelta()


def show_sign_in(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()


def show_problem(page: Page) -> None:
    page.get_by_label("Token").fill("leads_wrong")
    page.get_by_label("Token").press("Enter")
    expect(page.get_by_role("alert")).to_have_text(re.compile("."))


def show_board(page: Page) -> None:
    expect_in(page, "new", 42)


def show_selection(page: Page) -> None:
    page.get_by_role("checkbox", name="Select company 42").check()


def show_undo(page: Page) -> None:
    card(page, 42).focus()
    with answered(page):
        page.keyboard.press("2")
    expect(page.get_by_role("button", name="Undo")).to_be_visible()


def show_menu(page: Page) -> None:
    page.get_by_role("button", name="Move company 42").click()
    expect(page.get_by_role("menu")).to_be_visible()


def show_panel(page: Page) -> None:
    open_panel(page, 42)


def show_saved(page: Page) -> None:
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("dialog").get_by_role("status")).to_have_text(re.compile("saved"))


def show_question(page: Page) -> None:
    open_panel(page, 42).get_by_label("Notes").fill("")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Discard")).to_be_visible()


def show_delete(page: Page) -> None:
    open_panel(page, 42).get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Delete for good")).to_be_visible()


def show_choice(page: Page) -> None:
    answer = page.request.get(f"{page.url.removesuffix('board')}v1/leads?company_id=42")
    lead = answer.json()["data"][0]
    url = f"{page.url.removesuffix('board')}v1/leads/{lead['id']}"
    notes = open_panel(page, 42).get_by_label("Notes")
    notes.fill("mine")
    headers = {"Sec-Fetch-Site": "same-origin"}
    assert page.request.patch(url, data={"notes": THEIRS}, headers=headers).ok
    notes.press("Control+Enter")
    expect(page.get_by_role("dialog", name="Changed elsewhere")).to_be_visible()


def show_new(page: Page) -> None:
    page.keyboard.press("n")
    expect(page.get_by_role("dialog", name="New lead")).to_be_visible()


def show_new_refused(page: Page) -> None:
    show_new(page)
    page.get_by_role("dialog").get_by_label("Company").fill("0")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text(re.compile("."))


def show_filters(page: Page) -> None:
    page.keyboard.press("/")
    expect(filters(page).get_by_label("Company")).to_be_visible()


def show_keys(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()


def show_progress(page: Page) -> None:
    page.get_by_role("link", name="Progress").click()
    funnel = page.get_by_role("table").filter(has_text="qualified").first
    expect(funnel.get_by_role("row")).not_to_have_count(0)
    expect(page.get_by_role("heading", name="Conversion rate")).to_be_visible()


def show_tables(page: Page) -> None:
    for summary in page.locator("summary").all():
        summary.click()
    expect(page.get_by_role("table").last).to_be_visible()


def show_counted(page: Page) -> None:
    page.locator("#funnel a").last.click()
    expect(page.get_by_role("heading", name=re.compile("that were lost$"))).to_be_visible()


Show = Callable[[Page], None]
VIEWS: list[tuple[Show, ...]] = [
    (show_sign_in, show_problem),
    (show_board,),
    (show_selection, show_undo),
    (show_menu,),
    (show_panel, show_saved),
    (show_question,),
    (show_delete,),
    (show_choice,),
    (show_new,),
    (show_new_refused,),
    (show_filters,),
    (show_keys,),
    (show_progress, show_tables),
    (show_progress, show_counted),
]
views = pytest.mark.parametrize("steps", VIEWS, ids=lambda steps: steps[-1].__name__)


@pytest.fixture
def tolerant(complaints: Complaints) -> None:
    for status in (401, 412, 422):
        complaints.expect_status(status)


@views
@pytest.mark.usefixtures("tolerant", "stale_leads")
def test_axe_finds_nothing(board: Board, sign_in: Open, axe: Axe, steps: tuple[Show, ...]) -> None:
    """On a phone and on a desk, in light and dark; nothing is wider than its window."""
    page = sign_in(reduced_motion="reduce")
    found = []
    for show in steps:
        show(page)
        page.emulate_media(color_scheme="light")
        found += [f"light: {it}" for it in axe.violations(page)]
        page.set_viewport_size({"width": 2560, "height": 1300})
        assert overflow(page) == 0
        page.set_viewport_size({"width": 360, "height": 740})
        assert overflow(page) == 0
        page.emulate_media(color_scheme="dark")
        found += [f"dark, on a phone: {it}" for it in axe.violations(page)]
    assert found == []


@pytest.mark.usefixtures("stale_leads")
def test_old_leads_are_marked(board: Board, page: Page) -> None:
    """Open ones, over 14 and over 30 days; for how long, all of them say."""
    for company, days, mark in ((1, 45, "stale"), (4, 20, "slow"), (3, 45, ""), (6, 1, "")):
        shown = card(page, company)
        expect(shown).to_contain_text(re.compile(rf"\b{days} d"))
        if mark:
            expect(shown).to_contain_text(mark)
            expect(shown).to_have_accessible_name(re.compile(mark))
        else:
            expect(shown).not_to_contain_text(re.compile("stale|slow"))


@pytest.mark.usefixtures("stale_leads")
def test_on_a_phone_columns_fill_the_window_and_snap(sign_in: Open) -> None:
    page = sign_in(viewport={"width": 360, "height": 740})
    for status in ("new", "lost"):
        region = column(page, status)
        region.scroll_into_view_if_needed()
        box = region.bounding_box()
        assert box is not None
        assert 240 <= box["width"] <= 360
    assert page.evaluate(
        "[...document.querySelectorAll('*')]"
        ".some(it => getComputedStyle(it).scrollSnapType.startsWith('x'))"
    )


@pytest.mark.usefixtures("stale_leads")
def test_all_columns_are_seen_on_a_wide_screen(sign_in: Open) -> None:
    page = sign_in(viewport={"width": 2560, "height": 1300})
    for status in ("new", "contacted", "qualified", "converted", "lost"):
        expect(column(page, status)).to_be_in_viewport(ratio=1)


@pytest.mark.usefixtures("stale_leads")
def test_what_is_pressed_is_large_enough(sign_in: Open) -> None:
    """24 pixels each way: WCAG 2.2, 2.5.8."""
    page = sign_in(viewport={"width": 360, "height": 740})
    for role in ("button", "checkbox"):
        for it in page.get_by_role("region").get_by_role(role).all():
            box = it.bounding_box()
            assert box is not None
            assert min(box["width"], box["height"]) >= 24, it.get_attribute("aria-label")


@pytest.mark.usefixtures("stale_leads")
def test_nothing_moves_for_who_does_not_want_it(sign_in: Open) -> None:
    page = sign_in(reduced_motion="reduce")
    card(page, 42).focus()
    with answered(page):
        page.keyboard.press("2")
    moving = page.evaluate(
        "[...document.querySelectorAll('*')].filter(it => (s => Math.max("
        "parseFloat(s.transitionDuration), parseFloat(s.animationDuration)) > 0.01 ||"
        " s.scrollBehavior === 'smooth')(getComputedStyle(it))).map(it => it.outerHTML)"
    )
    assert moving == []


def test_without_javascript(board: Board, blank: Open) -> None:
    page = blank(java_script_enabled=False)
    page.goto(board.url)
    text = page.locator("noscript *").filter(has_text="JavaScript")  # get_by_text leaves it out
    expect(text).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(0)


def test_with_a_finger(board: Board, sign_in: Open) -> None:
    """A finger that rests on a card takes it along."""
    board.add(42)
    page = sign_in(viewport={"width": 800, "height": 700}, has_touch=True)
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        at = [{"x": x, "y": y} for x, y in points]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    box = card(page, 42).bounding_box()
    to = column(page, "contacted").bounding_box()
    assert box is not None
    assert to is not None
    x, y = box["x"] + 60, box["y"] + 40
    touch("touchStart", (x, y))
    expect(column(page, "new").locator(".lifted")).to_have_count(1)
    for step in (0.3, 0.6, 1.0):
        touch("touchMove", (x + step * (to["x"] + 60 - x), y + 20 * step))
    with answered(page):
        touch("touchEnd")
    expect_in(page, "contacted", 42)
    assert board.lead(42)["status"] == "contacted"
