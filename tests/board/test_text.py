"""Text is text: shown as it is written, never executed, never wider than its place."""

import re

from playwright.sync_api import Page, expect

from tests.board.conftest import Open
from tests.board.live import Board, Complaints, answered, card, open_panel, overflow, panel

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)><b>bold</b> &amp; {{ 7 * 7 }}"
TEXTS = [
    MARKUP,
    "מעוניינים בהדגמה בשבוע הבא",
    "مهتمون بالباقة السنوية، يرجى الاتصال يوم الأحد",
    "👩‍👩‍👧‍👦 🎉 📈",
    "\u202eright to left, from here on",
    "x" * 10_000,
    "来" * 10_000,
    "first\n\n" + "line\n" * 1000,
]


def test_notes(board: Board, sign_in: Open) -> None:
    for company, text in enumerate(TEXTS, 1):
        board.add(company, notes=text)
    page = sign_in(viewport={"width": 360, "height": 1200})
    assert_fits(page)
    for company, text in enumerate(TEXTS, 1):
        expect(card(page, company)).to_contain_text(text.partition("\n")[0][:100])
        expect(open_panel(page, company).get_by_label("Notes")).to_have_value(text)
        assert_fits(page)
        page.keyboard.press("Escape")
        expect(panel(page, company)).to_be_hidden()
    page.set_viewport_size({"width": 1280, "height": 1200})
    assert_fits(page)
    expect(page.locator("b, img, main script, dialog script")).to_have_count(0)


def assert_fits(page: Page) -> None:
    assert overflow(page) == 0
    wide = page.evaluate(
        "[...document.querySelectorAll('[role=listitem], li, dialog')].filter("
        "it => it.checkVisibility() && it.scrollWidth > it.clientWidth + 1).map(it => it.outerHTML)"
    )
    assert wide == []


def test_notes_that_are_written_here(board: Board, page: Page) -> None:
    board.add(42)
    page.reload()
    notes = open_panel(page, 42).get_by_label("Notes")
    notes.fill(MARKUP)
    with answered(page):
        notes.press("Control+Enter")
    assert board.lead(42)["notes"] == MARKUP
    page.keyboard.press("Escape")
    expect(panel(page, 42)).to_be_hidden()
    expect(card(page, 42)).to_contain_text(MARKUP)
    expect(page.locator("img, b")).to_have_count(0)


def test_both_texts_of_a_choice(board: Board, page: Page, complaints: Complaints) -> None:
    complaints.expect_status(412)
    board.add(42)
    page.reload()
    notes = open_panel(page, 42).get_by_label("Notes")
    notes.fill(MARKUP)
    board.change(42, notes="y" * 10_000)
    notes.press("Control+Enter")
    choice = page.get_by_role("dialog", name="Changed elsewhere")
    expect(choice).to_contain_text(MARKUP)
    expect(choice).to_contain_text("y" * 10_000)
    assert_fits(page)
    expect(page.locator("img, b")).to_have_count(0)


def test_the_policy_admits_no_script_of_the_page(board: Board, page: Page) -> None:
    answer = page.request.get(board.url)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert not re.search(r"unsafe|data:.*script|\*", policy)
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    html = answer.text()
    assert not re.search(r"\son\w+=|\sstyle=|<style|<script(?![^>]*\ssrc=)", html)
