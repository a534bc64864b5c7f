"""Signing in and out, and what a page makes of a session that has ended."""

import re
from datetime import timedelta

from playwright.sync_api import Page, expect

from tests.board.conftest import Open
from tests.board.live import SHOW, Board, Complaints, column, expect_in


def test_by_a_token_that_is_pasted(board: Board, blank: Open) -> None:
    board.add(42)
    page = blank()
    page.goto(board.url)
    expect(column(page, "new")).to_be_hidden()
    page.get_by_label("Token").fill(board.alice)
    page.get_by_role("button", name="Sign in").click()
    expect_in(page, "new", 42)
    page.reload()
    expect_in(page, "new", 42)
    assert page.url == board.url


def test_by_a_link_that_leaves_no_trace(board: Board, blank: Open) -> None:
    board.add(42)
    page = blank()
    page.goto(board.link(board.alice))
    expect_in(page, "new", 42)
    assert page.url == board.url
    page.go_back()
    assert page.url == "about:blank"
    page.go_forward()
    expect_in(page, "new", 42)
    assert page.url == board.url


def test_the_token_stays_out_of_the_page(board: Board, page: Page) -> None:
    kept = page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
    assert board.alice not in page.content() + kept
    assert page.evaluate("document.cookie") == ""
    cookies = page.context.cookies([board.url, f"{board.base}/v1/leads", board.base])
    facts = {
        (cookie["path"], cookie["httpOnly"], cookie["sameSite"], cookie["secure"])
        for cookie in cookies
    }
    assert facts == {("/board", True, "Strict", False), ("/v1", True, "Strict", False)}
    assert all(board.alice not in cookie["value"] for cookie in cookies)


def test_a_wrong_token(board: Board, blank: Open, complaints: Complaints) -> None:
    complaints.expect_status(401)
    page = blank()
    page.goto(board.link("leads_wrong"))
    expect(page.get_by_role("alert")).to_have_text(re.compile("token", re.IGNORECASE))
    page.get_by_label("Token").fill("leads_wrong_too")
    form = page.get_by_role("form", name="Sign in")
    form.get_by_role("button", name="Sign in").click()
    expect(form.get_by_role("alert")).to_have_text(re.compile("token", re.IGNORECASE))
    expect(page.get_by_label("Token")).to_be_visible()
    page.get_by_label("Token").fill(board.alice)
    page.get_by_role("button", name="Sign in").click()
    expect(column(page, "new")).to_be_visible()


def test_sign_out(board: Board, page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    assert page.context.cookies() == []
    assert [token["user_name"] for token in board.state.accounts.tokens("alice")] == ["alice"] * 2
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()
    expect(column(page, "new")).to_be_hidden()


def test_a_session_is_listed_and_ends_with_its_token(
    board: Board, page: Page, complaints: Complaints
) -> None:
    complaints.expect_status(401)
    board.add(42)
    first, _, session = board.state.accounts.tokens("alice")
    assert session["read_only"] == 0
    board.state.accounts.revoke_token(first["id"])
    page.evaluate(SHOW)
    expect(page.get_by_label("Token")).to_be_visible()
    expect(column(page, "new")).to_be_hidden()
    assert len(board.state.accounts.tokens("alice")) == 1


def test_a_session_ends_when_it_is_not_used(
    board: Board, sign_in: Open, complaints: Complaints
) -> None:
    complaints.expect_status(401)
    board.clock.ago = timedelta(hours=24)
    page = sign_in()
    board.clock.ago = timedelta(hours=12.5)
    page.reload()  # eleven and a half hours later
    expect(column(page, "new")).to_be_visible()
    board.clock.ago = timedelta()
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()


def test_users_see_their_own(board: Board, sign_in: Open) -> None:
    board.add(42)
    board.add(7, user="bob")
    page, other = sign_in(), sign_in(board.bob)
    expect(column(page, "new", "1 lead")).to_be_visible()
    expect_in(page, "new", 42)
    expect(column(other, "new", "1 lead")).to_be_visible()
    expect_in(other, "new", 7)


def test_the_root_leads_there(board: Board, page: Page) -> None:
    page.goto(board.base)
    expect(column(page, "new")).to_be_visible()
    assert page.url == board.url


def test_a_link_of_somebody_else_takes_the_place_of_the_session(board: Board, page: Page) -> None:
    board.add(7, user="bob")
    page.goto("about:blank")
    page.goto(board.link(board.bob))
    expect_in(page, "new", 7)
