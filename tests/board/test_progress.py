"""The progress: the figures, their links, and the span in the address."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from playwright.sync_api import Page, expect

from tests.board.conftest import Open
from tests.board.live import Board, Complaints, card, cards, column


@pytest.fixture
def progress(board: Board, sign_in: Open) -> Page:
    """The page of a user of whose four leads one was contacted, and one converted in two days."""
    board.clock.ago = timedelta(days=200)
    board.add(9)
    board.clock.ago = timedelta(days=10)
    board.add(1, 2, 3, 4)
    board.clock.ago = timedelta(days=8)
    for company in (1, 2):
        board.change(company, status="contacted")
    board.change(1, status="converted")
    board.clock.ago = timedelta()
    page = sign_in()
    page.get_by_role("link", name="Progress").click()
    return page


def cells(page: Page, table: str, row: str) -> list[str]:
    line = page.locator(f"#{table} tr", has=page.get_by_role("rowheader", name=row))
    expect(line).to_be_visible()
    return [text for text in line.get_by_role("cell").all_inner_texts() if text]


def test_the_figures(progress: Page) -> None:
    assert cells(progress, "funnel", "new") == ["4", "100.0 %"]
    assert cells(progress, "funnel", "contacted") == ["2", "50.0 %"]
    assert cells(progress, "funnel", "qualified") == ["1", "50.0 %"]
    assert cells(progress, "funnel", "converted") == ["1", "100.0 %"]
    assert cells(progress, "stays", "new") == ["2 days", "2 days", "2"]
    assert cells(progress, "stays", "lost") == ["-", "-", "0"]
    expect(progress.locator("#rate")).to_contain_text("25.0 %")
    expect(progress.locator("#trend")).to_have_text("The span before: 0 converted, 0 created")
    picture = progress.get_by_role("img", name=re.compile("^Leads per week"))
    expect(picture.locator("title", has_text="2 leads")).to_have_count(0)


def test_a_figure_leads_to_its_leads(progress: Page) -> None:
    before = progress.evaluate("history.length")
    progress.get_by_label("Company").fill("1")
    progress.get_by_label("Company").press("Enter")
    expect(progress).to_have_url(re.compile("company_id=1"))
    assert progress.evaluate("history.length") == before + 1
    expect(progress.locator("#funnel a").first).to_have_text("1")
    progress.locator("#funnel a").first.click()
    expect(column(progress, "converted", "1 lead")).to_be_visible()
    expect(cards(progress)).to_have_count(1)
    expect(progress).to_have_url(re.compile("company_id=1"))


def test_the_span_is_in_the_address(progress: Page) -> None:
    progress.get_by_label("Span").select_option("all time")
    expect(progress).to_have_url(re.compile("span=all"))
    expect(progress.locator("#funnel a").first).to_have_text("5")
    progress.reload()
    expect(progress.locator("#funnel a").first).to_have_text("5")
    progress.get_by_label("Span").select_option("30 days")
    expect(progress.locator("#funnel a").first).to_have_text("4")
    progress.go_back()
    expect(progress.get_by_label("Span")).to_have_value("all")
    expect(progress.locator("#funnel a").first).to_have_text("5")


def test_a_company_that_is_not_valid(progress: Page, complaints: Complaints) -> None:
    complaints.expect_status(422)
    progress.get_by_label("Company").fill("x")
    progress.get_by_label("Company").press("Enter")
    expect(progress.get_by_role("alert")).to_have_text(re.compile("^Company: "))
    expect(progress.get_by_label("Company")).to_have_attribute("aria-invalid", "true")


def test_without_leads(board: Board, sign_in: Open) -> None:
    page = sign_in(board.bob)
    page.get_by_role("link", name="Progress").click()
    assert cells(page, "funnel", "new") == ["0", "-"]
    expect(page.get_by_text("There are no leads yet.")).to_be_visible()
    expect(page.locator("#rate")).to_contain_text("-")


@pytest.fixture
def weeks(board: Board, sign_in: Open) -> Page:
    """The page of a user who has had a lead on each Monday of a year, and two in its last week."""
    monday = datetime(2025, 1, 6, 12, tzinfo=UTC)
    for week in range(52):
        board.add(week + 1, created_at=rfc3339(monday + timedelta(weeks=week)))
    board.add(53, created_at=rfc3339(monday + timedelta(weeks=51, days=6)))
    page = sign_in()
    page.goto(f"{board.url}/progress?span=all")
    page.locator("summary").click()
    return page


def rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_a_week_leads_to_its_leads(weeks: Page) -> None:
    """From Monday to Sunday; the newest week is the first."""
    dates = weeks.locator("#weeks-table").get_by_role("rowheader").all_inner_texts()
    assert dates == sorted(dates, reverse=True)
    for week, companies in (("2025-12-29", [53, 52]), ("2025-12-22", [51])):
        row = weeks.locator("#weeks-table tr", has_text=week)
        row.get_by_role("link", name=str(len(companies))).click()
        expect(cards(weeks)).to_have_count(len(companies))
        for company in companies:
            expect(card(weeks, company)).to_be_visible()
        weeks.go_back()
        weeks.locator("summary").click()


@pytest.mark.parametrize("width", [1440, 390])
def test_the_chart_can_be_read(weeks: Page, width: int) -> None:
    """Its text is inside of it, is as large as text is, and one does not cover the other."""
    weeks.set_viewport_size({"width": width, "height": 844})
    picture = weeks.get_by_role("img", name=re.compile("^Leads per week"))
    expect(picture).to_have_attribute("viewBox", re.compile(r"^0 0 "))
    texts = picture.locator("text")
    weeks.wait_for_function(
        f"document.querySelector('#weeks > svg').viewBox.baseVal.width < {width}"
    )
    outer = picture.bounding_box()
    boxes = [text.bounding_box() for text in texts.all()]
    assert outer is not None
    assert len(boxes) > 4
    for box in boxes:
        assert box is not None
        assert outer["x"] <= box["x"]
        assert box["x"] + box["width"] <= outer["x"] + outer["width"]
        assert outer["y"] <= box["y"]
        assert box["y"] + box["height"] <= outer["y"] + outer["height"]
        assert 10 <= box["height"] <= 21
    dates = [box for box in boxes if box and box["y"] > outer["y"] + outer["height"] - 30]
    assert len(dates) > 1
    for left, right in pairwise(dates):
        assert left["x"] + left["width"] < right["x"]
