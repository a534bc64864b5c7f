"""The progress: the figures, their links, and the span in the address."""

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.board.conftest import Open
from tests.board.live import Board, Complaints, cards, column


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
    progress.get_by_label("Company").fill("1")
    progress.get_by_label("Company").press("Enter")
    expect(progress).to_have_url(re.compile("company_id=1"))
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
    expect(progress.get_by_role("alert")).to_contain_text("company_id")
    expect(progress.get_by_label("Company")).to_have_attribute("aria-invalid", "true")


def test_without_leads(board: Board, sign_in: Open) -> None:
    page = sign_in(board.bob)
    page.get_by_role("link", name="Progress").click()
    assert cells(page, "funnel", "new") == ["0", "-"]
    expect(page.get_by_text("There are no leads yet.")).to_be_visible()
    expect(page.locator("#rate")).to_contain_text("-")
