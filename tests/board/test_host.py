"""The board in a host with Flask-Login and a CSRF extension: the host's login, and no other."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask, redirect
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from flask_wtf.csrf import CSRFProtect
from playwright.sync_api import BrowserContext, Page, expect
from werkzeug.wrappers import Response

from leads_service import init_app
from leads_service.state import state_of
from tests.board.live import (
    SHOW,
    Complaints,
    Listener,
    answered,
    card,
    column,
    expect_in,
    open_panel,
)

PATH = "/crm/board"


class User(UserMixin):
    def __init__(self, user_id: int) -> None:
        self.id = user_id


@pytest.fixture
def host(tmp_path: Path) -> Flask:
    app = Flask("host")
    app.config.update(SECRET_KEY="x" * 32, SESSION_COOKIE_SAMESITE="Lax")
    logins = LoginManager(app)
    logins.user_loader(lambda text: User(int(text)))
    csrf = CSRFProtect(app)
    init_app(
        app,
        user_id=lambda: current_user.id if current_user.is_authenticated else None,
        database=f"sqlite:///{tmp_path / 'host.db'}",
        url_prefix="/crm/v1",
        board=PATH,
    )
    csrf.exempt(app.blueprints["leads_service"])

    @app.get("/login/<int:number>")
    def log_in(number: int) -> Response:
        login_user(User(number))
        return redirect(PATH)

    @app.get("/logout")
    def log_out() -> str:
        logout_user()
        return "good-bye"

    for number, company in ((7, 42), (8, 43)):
        state_of(app).leads.create(number, {"company_id": company})
    return app


@pytest.fixture
def url(host: Flask) -> Iterator[str]:
    listener = Listener(host)
    yield listener.url
    listener.stop()


@pytest.fixture
def page(url: str, new_context: Callable[..., BrowserContext], complaints: Complaints) -> Page:
    context = new_context()
    complaints.watch(context)
    return context.new_page()


def test_who_is_logged_in_there_sees_and_moves(host: Flask, url: str, page: Page) -> None:
    page.goto(f"{url}/login/7")
    expect_in(page, "new", 42)
    expect(card(page, 43)).to_have_count(0)
    expect(page.get_by_label("Token")).to_be_hidden()
    expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
    card(page, 42).focus()
    with answered(page):
        page.keyboard.press("2")
    expect_in(page, "contacted", 42)
    open_panel(page, 42).get_by_label("Notes").fill("from the host")
    with answered(page):
        page.keyboard.press("Control+Enter")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.get_by_role("dialog", name="New lead").get_by_label("Company").fill("77")
    with answered(page, "POST"):
        page.keyboard.press("Enter")
    expect_in(page, "new", 77)
    lead = state_of(host).leads.get(7, 1)
    assert (lead["status"], lead["notes"]) == ("contacted", "from the host")
    assert [cookie["name"] for cookie in page.context.cookies()] == ["session"]


def test_a_figure_leads_to_its_leads_and_to_one(url: str, page: Page) -> None:
    page.goto(f"{url}/login/7")
    page.get_by_role("link", name="Progress").click()
    page.locator("#funnel a").click()
    expect(page).to_have_url(re.compile(f"^{url}{PATH}/progress/leads"))
    page.get_by_role("link", name="Company 42").click()
    expect(page.get_by_role("dialog", name="Company 42")).to_be_visible()
    expect(page).to_have_url(f"{url}{PATH}?lead=1")


def test_who_has_logged_out_meanwhile_is_told(url: str, page: Page, complaints: Complaints) -> None:
    complaints.expect_status(401)
    page.goto(f"{url}/login/7")
    expect_in(page, "new", 42)
    page.request.get(f"{url}/logout")  # with the cookies of the page
    page.evaluate(SHOW)
    expect(page.get_by_role("alert")).to_have_text(re.compile("log in", re.IGNORECASE))
    expect(column(page, "new")).to_be_hidden()
    expect(page.get_by_label("Token")).to_be_hidden()


def test_pages_elsewhere_write_nothing(host: Flask, url: str, page: Page) -> None:
    page.goto(f"{url}/login/7")
    expect_in(page, "new", 42)
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://elsewhere.test"}
    page.request.post(f"{url}/crm/v1/leads", form={"company_id": "9"}, headers=headers)
    assert state_of(host).leads.count(7) == 1


def test_it_is_absent_unless_it_is_asked_for(tmp_path: Path) -> None:
    app = Flask("host")
    init_app(app, user_id=lambda: 7, database=f"sqlite:///{tmp_path / 'host.db'}")
    assert [rule.rule for rule in app.url_map.iter_rules() if "board" in rule.rule] == []
