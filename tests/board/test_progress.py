"""The progress: the figures, their links, and the span in the address."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.board.conftest import Open
from tests.board.live import Board, Complaints, panel


@pytest.fixture
def told(board: Board) -> None:
    """Four leads of a user, of which one was contacted, and one converted in two days."""
    board.clock.ago = timedelta(days=200)
    board.add(9)
    board.clock.ago = timedelta(days=10)
    board.add(1, 2, 3, 4)
    board.clock.ago = timedelta(days=8)
    for company in (1, 2):
        board.change(company, status="contacted")
    board.change(1, status="converted")
    board.clock.ago = timedelta()


@pytest.fixture
def progress(told: None, sign_in: Open) -> Page:
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


def listed(page: Page) -> Locator:
    """Return the leads that a figure counts, once they are shown."""
    expect(page.locator("#count")).to_have_text(re.compile(r"\d"))
    return page.locator("#leads").get_by_role("rowheader")


@pytest.mark.parametrize("company", ["", "&company_id=1"])
@pytest.mark.usefixtures("told")
def test_every_figure_leads_to_its_leads(board: Board, sign_in: Open, company: str) -> None:
    board.clock.ago = timedelta(days=100)
    board.change(9, status="converted")  # in the span before
    board.clock.ago = timedelta(days=3)
    board.change(2, status="new")
    board.clock.ago = timedelta(days=2)
    board.change(2, status="contacted")  # two stays of one lead
    board.clock.ago = timedelta()
    progress = sign_in()
    progress.goto(f"{board.url}/progress?span=90d{company}")
    progress.locator("summary").click()
    links = progress.locator("#funnel a, #weeks-table a, #stays a, #rate a, #trend a")
    expect(progress.locator("#stays a").first).to_be_visible()
    figures = [(link.inner_text(), link.get_attribute("href") or "") for link in links.all()]
    assert len(figures) == (14 if company else 15)
    before = [link.get_attribute("href") for link in progress.locator("#trend a").all()]
    for text, address in figures:
        progress.goto(board.base + address)
        rows = listed(progress)
        if "left=" in address:
            stays = 1 if company else 3 if "left=new" in address else 2
            assert rows.count() == min(stays, 2)
            said = "1 stay of 1 lead," if company else f"{stays} stays of 2 leads,"
            expect(progress.locator("#count")).to_contain_text(said)
            assert int(text) == stays if text.isdigit() else re.search("day|s$", text)
        else:
            assert rows.count() == int(text.split()[0])
        if company:
            assert rows.all_inner_texts() == ["Company 1"]
        elif address in before:
            assert rows.all_inner_texts() == ["Company 9"]


def test_more_leads_and_the_way_to_one_and_back(board: Board, sign_in: Open) -> None:
    board.add(*range(1, 61), notes="first line\nsecond", status="lost")
    page = sign_in()
    page.goto(f"{board.url}/progress/leads?reached=lost&until=2100-01-01")
    expect(page.get_by_role("heading", name="Leads created until Dec 31, 2099")).to_be_visible()
    expect(listed(page)).to_have_count(50)
    expect(page.locator("#count")).to_have_text("60 leads")
    page.get_by_role("button", name="More").click()
    expect(listed(page)).to_have_count(60)
    expect(page.get_by_role("button", name="More")).to_be_hidden()
    assert len(set(listed(page).all_inner_texts())) == 60
    link = listed(page).get_by_role("link").nth(50)
    expect(link).to_be_focused()
    company = int(link.inner_text().split()[1])
    expect(page.get_by_role("row", name=f"Company {company} ")).to_contain_text("first line")
    expect(page.get_by_role("cell", name="second")).to_have_count(0)
    link.click()
    expect(panel(page, company).get_by_label("Notes")).to_have_value("first line\nsecond")
    page.keyboard.press("Escape")
    expect(page).to_have_url(board.url)
    page.go_back()
    expect(listed(page).first).to_be_visible()


def test_an_address_that_is_not_valid(board: Board, sign_in: Open, complaints: Complaints) -> None:
    complaints.expect_status(422)
    page = sign_in()
    page.goto(f"{board.url}/progress/leads?reached=none&until=2100-01-01")
    expect(page.get_by_role("alert")).to_have_text(re.compile("^reached: Must be one of"))


def test_figures_of_the_rate_stand_in_one_line(progress: Page) -> None:
    progress.set_viewport_size({"width": 1024, "height": 768})
    progress.locator("#rate small").evaluate("it => it.textContent = '28 converted, 81 created'")
    box = progress.locator("#rate small").bounding_box()
    assert box is not None
    assert box["height"] < 25


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
        expect(listed(weeks)).to_have_text([f"Company {company}" for company in companies])
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
