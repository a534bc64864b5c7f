"""The leads as a part of a Flask application."""

from flask import Flask
from flask_smorest import Api
from peewee import Database

from leads_service.accounts import Accounts
from leads_service.api import LeadId, blp
from leads_service.auth import bearer
from leads_service.cli import commands
from leads_service.leads import Leads
from leads_service.models import Clock, utc_now
from leads_service.openapi import describe
from leads_service.scoring import Scorer
from leads_service.service import EXTENSION, Service


def init_app(
    app: Flask,
    *,
    api: Api,
    database: Database,
    scorer: Scorer,
    url_prefix: str = "/v1",
    clock: Clock = utc_now,
) -> None:
    """Mount the leads in ``app`` under ``url_prefix``, kept in ``database``."""
    app.url_map.converters["lead_id"] = LeadId
    accounts = Accounts(database, clock)
    app.extensions[EXTENSION] = Service(
        database, Leads(database, scorer, clock), scorer, accounts, bearer(accounts)
    )
    describe(api.spec)
    api.register_blueprint(blp, url_prefix=url_prefix)
    app.cli.add_command(commands)
