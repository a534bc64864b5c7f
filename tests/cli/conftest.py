"""Fixtures of the commands: the program with its settings in the environment, scorers."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.cli import ScriptInfo

from leads_service import create_app
from leads_service.accounts import Accounts
from leads_service.cli import commands
from leads_service.leads import LeadService
from leads_service.state import EXTENSION, AppState
from leads_service.storage.models import TABLES_WITH_OWNER
from tests.helpers import APART, Answer, Clock, Run, answer_of, database_of

WithScorer = Callable[[Any], LeadService]


@pytest.fixture
def program(url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Commands of ``leads-service``, each on an application that the environment sets up."""
    monkeypatch.setenv("LEADS_DATABASE", url)

    def program(*words: str) -> Answer:
        result = CliRunner(**APART).invoke(
            commands,
            words,
            obj=ScriptInfo(create_app=partial(create_app, migrate=False)),
            prog_name="leads-service",
            catch_exceptions=False,
        )
        return answer_of(result)

    return program


@pytest.fixture
def with_scorer(app: Flask, clock: Clock) -> WithScorer:
    """Let the application score otherwise from now on what changes hands."""

    def with_scorer(scorer: Any) -> LeadService:
        state = app.extensions[EXTENSION]
        leads = LeadService(state.storage, scorer, clock, has_own_users=True)
        accounts = Accounts(state.storage, leads, clock)
        app.extensions[EXTENSION] = state._replace(leads=leads, accounts=accounts)
        return leads

    return with_scorer


@pytest.fixture
def scored_by_user(with_scorer: WithScorer) -> None:
    """Let the score of a lead tell whose it was when it was scored."""
    with_scorer(lambda user_id, **_: user_id)


@pytest.fixture
def rows_of(service: AppState) -> Callable[[int], int]:
    """Count the rows of a user in every table that has some."""

    def rows_of(user_id: int) -> int:
        return sum(
            table.select().where(table.user_id == user_id).count(database_of(service))
            for table in TABLES_WITH_OWNER
        )

    return rows_of
