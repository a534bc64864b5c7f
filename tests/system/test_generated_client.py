"""A client made from the OpenAPI document: typed, complete, and at work on the real service."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, timedelta
from http import HTTPStatus
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from tests.helpers import BIN, Server

# Without its usual hooks, which would call a formatter for code that nobody reads.
CONFIG = "post_hooks: []\n"
PACKAGE = "generated_leads_client"
COMPANY = 6_180_339_887_498_948_000  # no other test comes near; each test here adds its own figure
LARGEST_ID = 2**63 - 1


class Api(NamedTuple):
    """The generated operations and models, and a client that holds the right token."""

    list_leads: ModuleType
    create_lead: ModuleType
    get_lead: ModuleType
    update_lead: ModuleType
    delete_lead: ModuleType
    models: ModuleType
    client: Any

    def create(self, company_id: int, **fields: Any) -> Any:
        body = self.models.LeadCreate(company_id=company_id, **fields)
        lead = self.create_lead.sync(client=self.client, body=body)
        assert isinstance(lead, self.models.Lead)
        return lead

    def page(self, company_id: int, **query: Any) -> Any:
        page = self.list_leads.sync(client=self.client, company_id=company_id, **query)
        assert isinstance(page, self.models.LeadPage)
        return page

    def update(self, lead_id: int, **changes: Any) -> Any:
        body = self.models.LeadUpdate(**changes)
        lead = self.update_lead.sync(lead_id, client=self.client, body=body)
        assert isinstance(lead, self.models.Lead)
        return lead


@pytest.fixture(scope="module")
def package(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The generated package; a part of the document that the generator can't do fails it."""
    folder = tmp_path_factory.mktemp("client")
    config = folder / "config.yaml"
    config.write_text(CONFIG)
    source = ["--url", f"{server.url}/openapi.json"]
    target = ["--meta", "none", "--output-path", str(folder / PACKAGE)]
    options = ["--config", str(config), "--fail-on-warning"]
    run = subprocess.run(
        [BIN / "openapi-python-client", "generate", *source, *target, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert "warning" not in run.stdout.lower()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield import_module(PACKAGE)


@pytest.fixture
def api(package: ModuleType, server: Server) -> Iterator[Api]:
    # An answer with a status that the document does not give the operation raises.
    client = package.AuthenticatedClient(
        server.url, token=server.token, raise_on_unexpected_status=True
    )
    operations = {
        name: import_module(f"{PACKAGE}.api.leads.{name}")
        for name in ("list_leads", "create_lead", "get_lead", "update_lead", "delete_lead")
    }
    with client:
        yield Api(**operations, models=import_module(f"{PACKAGE}.models"), client=client)


def test_create(api: Api) -> None:
    plain = api.create(COMPANY + 1)
    noted = api.create(COMPANY + 1, notes="Met at the fair, 東京")
    nothing = api.create(COMPANY + 1, notes=None)
    assert [lead.notes for lead in (plain, noted, nothing)] == ["", "Met at the fair, 東京", ""]
    assert plain.id < noted.id < nothing.id
    assert plain.company_id == COMPANY + 1
    assert plain.user_id == noted.user_id
    assert plain.status is api.models.Status.NEW
    assert plain.score == 10
    assert plain.created_at == plain.updated_at
    assert plain.created_at.tzinfo is UTC


def test_walk_all_pages(api: Api) -> None:
    leads = [api.create(COMPANY + 2, notes=f"lead {number}") for number in range(5)]
    pages = [api.page(COMPANY + 2, limit=2)]
    while (cursor := pages[-1].next_cursor) is not None:
        pages.append(api.page(COMPANY + 2, limit=2, cursor=cursor))
    assert [len(page.data) for page in pages] == [2, 2, 1]
    assert [page.has_more for page in pages] == [True, True, False]
    assert [lead for page in pages for lead in page.data] == leads[::-1]


def test_filter_by_status(api: Api) -> None:
    status = api.models.Status
    new, lost = api.create(COMPANY + 3), api.create(COMPANY + 3)
    lost = api.update(lost.id, status=status.LOST)
    assert api.page(COMPANY + 3, status=status.NEW).data == [new]
    assert api.page(COMPANY + 3, status=status.LOST).data == [lost]
    assert api.page(COMPANY + 3, status=status.CONVERTED).data == []


def test_filter_by_day(api: Api) -> None:
    lead = api.create(COMPANY + 4)
    today = lead.created_at.date()
    tomorrow = today + timedelta(days=1)
    assert api.page(COMPANY + 4, created_after=today, created_before=today).data == [lead]
    assert api.page(COMPANY + 4, created_after=tomorrow).data == []


def test_update(api: Api) -> None:
    before = api.create(COMPANY + 5, notes="Met at the fair")
    moved = api.update(before.id, status=api.models.Status.QUALIFIED)
    assert moved.status is api.models.Status.QUALIFIED
    assert moved.notes == "Met at the fair"
    assert moved.score == 60
    assert moved.updated_at > before.updated_at
    assert (moved.id, moved.created_at) == (before.id, before.created_at)
    cleared = api.update(before.id, notes=None)
    assert cleared.notes == ""
    assert cleared.status is api.models.Status.QUALIFIED
    assert api.page(COMPANY + 5).data == [cleared]


def test_get_and_delete(api: Api) -> None:
    lead = api.create(COMPANY + 6)
    assert api.get_lead.sync(lead.id, client=api.client) == lead
    gone = api.delete_lead.sync_detailed(lead.id, client=api.client)
    assert (gone.status_code, gone.content) == (HTTPStatus.NO_CONTENT, b"")
    for operation in (api.get_lead, api.delete_lead):
        answer = operation.sync_detailed(lead.id, client=api.client)
        assert answer.status_code is HTTPStatus.NOT_FOUND
        assert answer.parsed.message == "There is no such lead."
    assert api.page(COMPANY + 6).data == []


def test_if_match(api: Api) -> None:
    lead = api.create(COMPANY + 7, notes="theirs")
    answer = api.get_lead.sync_detailed(lead.id, client=api.client)
    old, change = answer.headers["ETag"], {"client": api.client}
    lead = api.update(lead.id, notes="changed")
    mine = api.models.LeadUpdate(notes="mine")
    for refused in (
        api.update_lead.sync_detailed(lead.id, body=mine, if_match=old, **change),
        api.delete_lead.sync_detailed(lead.id, if_match=old, **change),
    ):
        assert refused.status_code is HTTPStatus.PRECONDITION_FAILED
        assert isinstance(refused.parsed, api.models.LeadsChangedError)
        assert refused.parsed.lead == lead
    new = refused.headers["ETag"]
    assert api.update_lead.sync(lead.id, body=mine, if_match=new, **change).notes == "mine"


def test_a_key_whose_lead_was_deleted(api: Api) -> None:
    body, key = api.models.LeadCreate(company_id=COMPANY + 8), {"idempotency_key": "generated"}
    lead = api.create_lead.sync(client=api.client, body=body, **key)
    api.delete_lead.sync_detailed(lead.id, client=api.client)
    answer = api.create_lead.sync_detailed(client=api.client, body=body, **key)
    assert answer.status_code is HTTPStatus.GONE
    assert isinstance(answer.parsed, api.models.LeadsError)
    assert api.page(COMPANY + 8).data == []


def test_bad_token(api: Api, package: ModuleType, server: Server) -> None:
    with package.AuthenticatedClient(server.url, token="leads_nobody") as client:  # noqa: S106  # nobody's
        answer = api.list_leads.sync_detailed(client=client)
    assert answer.status_code is HTTPStatus.UNAUTHORIZED
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert isinstance(answer.parsed, api.models.LeadsError)
    assert answer.parsed.code == 401
    assert answer.parsed.status == "Unauthorized"
    assert answer.parsed.message == "The token is unknown, expired or revoked."
    assert not answer.parsed.errors


def test_unknown_lead(api: Api) -> None:
    body = api.models.LeadUpdate(notes="")
    answer = api.update_lead.sync_detailed(LARGEST_ID, client=api.client, body=body)
    assert answer.status_code is HTTPStatus.NOT_FOUND
    assert isinstance(answer.parsed, api.models.LeadsError)
    assert answer.parsed.code == 404
    assert answer.parsed.message == "There is no such lead."


def test_field_that_is_wrong(api: Api) -> None:
    error = api.create_lead.sync(client=api.client, body=api.models.LeadCreate(company_id=0))
    assert isinstance(error, api.models.LeadsError)
    assert error.code == 422
    assert error.errors["json"]["company_id"] == ["Must be from 1 to 9223372036854775807."]
