"""The board of the stub: signed in at once, as one of its users."""

from collections.abc import Iterator
from threading import Thread

import pytest
from playwright.sync_api import Page, expect

from leads_service.stub import Stub
from leads_service.stub.server import listen
from tests.board.conftest import Open
from tests.board.live import card, cards, column, expect_in


@pytest.fixture
def stub() -> Iterator[tuple[Stub, str]]:
    it = Stub(leads=20, log_level="error")
    server, url = listen(it)
    thread = Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    yield it, url
    server.shutdown()
    thread.join()
    server.server_close()
    it.close()


@pytest.fixture
def page(stub: tuple[Stub, str], blank: Open) -> Page:
    page = blank()
    page.goto(f"{stub[1]}/board")
    return page


def test_everybody_is_there(stub: tuple[Stub, str], page: Page) -> None:
    expect(cards(page)).to_have_count(15)
    page.get_by_label("Signed in as").select_option("bob")
    expect(cards(page)).to_have_count(5)
    assert len(stub[0].leads("bob")) == 5
    page.reload()
    expect(cards(page)).to_have_count(5)


def test_one_may_only_read(page: Page) -> None:
    page.get_by_label("Signed in as").select_option("alice-read-only")
    expect(cards(page)).to_have_count(15)
    cards(column(page, "new")).first.focus()
    page.keyboard.press("2")
    expect(page.get_by_role("alert")).to_contain_text("read-only")


def test_a_figure_leads_to_its_leads_and_to_one(page: Page) -> None:
    page.get_by_role("link", name="Progress").click()
    page.get_by_label("Span").select_option("all time")
    expect(page.locator("#funnel a").first).to_have_text("15")
    page.locator("#funnel a").first.click()
    leads = page.locator("#leads").get_by_role("rowheader")
    expect(leads).to_have_count(15)
    name = leads.first.inner_text()
    leads.first.get_by_role("link").click()
    expect(page.get_by_role("dialog", name=name)).to_be_visible()


def test_a_move(stub: tuple[Stub, str], page: Page) -> None:
    lead = next(lead for lead in stub[0].leads("alice") if lead["status"] == "new")
    card(column(page, "new"), lead["company_id"]).first.focus()
    page.keyboard.press("5")
    expect_in(page, "lost", lead["company_id"])
    expect(page.get_by_role("status")).to_contain_text("moved to lost")
