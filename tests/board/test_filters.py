"""Filters: they are in the address, so that a view can be shared and one can go back."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.board.conftest import Open
from tests.board.live import Board, Complaints, card, cards, column, expect_in, filters


@pytest.fixture(autouse=True)
def some_leads(board: Board) -> None:
    board.add(42, created_at="2026-03-01T10:00:00.000000Z", status="qualified")
    board.add(7, created_at="2026-05-01T10:00:00.000000Z")
    board.add(42, created_at="2026-07-01T10:00:00.000000Z")


def query_of(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def test_a_company_and_back(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("42")
    page.keyboard.press("Enter")
    expect(column(page, "new", r"1 lead\b")).to_be_visible()
    expect(card(page, 7)).to_have_count(0)
    assert query_of(page) == {"company_id": ["42"]}
    page.go_back()
    expect_in(page, "new", 7, 42)
    expect(column(page, "new", "2 leads")).to_be_visible()
    expect(filters(page).get_by_label("Company")).to_have_value("")
    assert query_of(page) == {}
    page.go_forward()
    expect(card(page, 7)).to_have_count(0)
    expect(filters(page).get_by_label("Company")).to_have_value("42")


SHARED: list[tuple[str, list[int]]] = [
    ("?company_id=7", [7]),
    ("?min_score=20", [42]),
    ("?max_score=20", [42, 7]),
    ("?created_after=2026-05-01", [42, 7]),
    ("?created_before=2026-05-01", [7, 42]),
    ("?created_after=2026-04-01&created_before=2026-06-01&company_id=7", [7]),
]


def test_addresses_that_somebody_has_shared(board: Board, page: Page) -> None:
    for query, companies in SHARED:
        page.goto(board.url + query)
        expect(cards(page)).to_have_count(len(companies))
        for shown, company in zip(cards(page).all(), companies, strict=True):
            expect(shown).to_have_accessible_name(re.compile(rf"^Company {company}\b"))
        assert page.url.endswith(query)
        for name, (value,) in query_of(page).items():
            expect(filters(page).locator(f"[name={name}]")).to_have_value(value)


def test_all_of_them_by_the_form(page: Page) -> None:
    page.keyboard.press("/")
    values = {
        "company_id": "42",
        "min_score": "5",
        "max_score": "95",
        "created_after": "2026-02-01",
        "created_before": "2026-12-01",
    }
    for name, value in values.items():
        filters(page).locator(f"[name={name}]").fill(value)
    page.keyboard.press("Enter")
    expect(card(page, 7)).to_have_count(0)
    expect(cards(page)).to_have_count(2)
    assert query_of(page) == {name: [value] for name, value in values.items()}


@pytest.mark.parametrize(
    ("query", "label"),
    [
        ("?company_id=x", "Company"),
        ("?min_score=90&max_score=50", "Score from"),
        ("?max_score=x", "Score to"),
        ("?created_after=x", "Created from"),
        ("?created_before=x", "Created to"),
    ],
)
def test_filters_that_are_not_valid(
    board: Board, blank: Open, complaints: Complaints, query: str, label: str
) -> None:
    complaints.expect_status(422)
    page = blank()
    page.goto(board.link(board.alice).replace("#", f"{query}#"))
    expect(page.get_by_role("alert")).to_have_text(re.compile(f"^{label}: "))
    expect(filters(page).get_by_label(label)).to_have_attribute("aria-invalid", "true")


def test_a_filter_that_is_not_valid_and_is_mended(page: Page, complaints: Complaints) -> None:
    complaints.expect_status(422)
    page.keyboard.press("/")
    page.keyboard.type("seven")
    page.keyboard.press("Enter")
    company = filters(page).get_by_label("Company")
    expect(company).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("alert").filter(has_text=re.compile("."))).to_be_visible()
    company.fill("7")
    company.press("Enter")
    expect(cards(page)).to_have_count(1)
    expect(company).not_to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("alert").filter(has_text=re.compile("."))).to_have_count(0)
