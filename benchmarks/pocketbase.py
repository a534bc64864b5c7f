"""PocketBase: its collection, created by its API, and its file, filled while it is stopped."""

import json
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from data import leads
from environment import BIN
from servers import free_port, stop

COMMAND = (f"{BIN}/pocketbase", "serve", "--dir", "{folder}/pb", "--http", "127.0.0.1:{port}")
FLUSHED = (*COMMAND, "--hooksDir", "pb_hooks")
RECORDS = "/api/collections/leads/records"
LEAD = RECORDS + "/%015d"
PATH = RECORDS + "?perPage=50&sort=-created_at,-id&skipTotal=1"
LOGIN = ("bench@example.com", "only-on-this-machine")
TRIES = 100

LEADS = {
    "name": "leads",
    "type": "base",
    "listRule": "user_id = @request.auth.id",
    "createRule": "@request.auth.id != '' && user_id = @request.auth.id",
    "updateRule": "user_id = @request.auth.id",
    "fields": [
        {
            "name": "user_id",
            "type": "relation",
            "collectionId": "_pb_users_auth_",
            "maxSelect": 1,
            "required": True,
        },
        {"name": "company_id", "type": "number", "required": True, "min": 1, "onlyInt": True},
        {
            "name": "status",
            "type": "select",
            "values": ["new", "contacted", "qualified", "converted", "lost"],
            "maxSelect": 1,
            "required": True,
        },
        {"name": "notes", "type": "text", "max": 10_000},
        {"name": "score", "type": "number", "min": 0, "max": 100, "onlyInt": True},
        {"name": "created_at", "type": "autodate", "onCreate": True},
        {"name": "updated_at", "type": "autodate", "onCreate": True, "onUpdate": True},
    ],
    "indexes": ["CREATE INDEX leads_newest ON leads (user_id, created_at DESC, id DESC)"],
}


def as_id(number: int) -> str:
    """Return the id of a record: 15 characters, as PocketBase requires, sorting like numbers."""
    return f"{number:015}"


REQUIRED = {"user_id": as_id(1), "status": "new", "score": 10}  # of a create, from the client


def prepare(folder: Path, count: int) -> str:
    """Create the collection, two users and ``count`` leads; return the first user's token."""
    data = folder / "pb"
    upsert = [COMMAND[0], "superuser", "upsert", *LOGIN, "--dir", str(data)]
    subprocess.run(upsert, check=True, stdout=subprocess.DEVNULL)
    port = free_port()
    serve = [part.format(folder=folder, port=port) for part in COMMAND]
    process = subprocess.Popen(serve, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        api = f"http://127.0.0.1:{port}/api/collections"
        superuser = _log_in(api, "_superusers")
        _post(api, LEADS, superuser)
        for number, email in enumerate((LOGIN[0], "other@example.com"), 1):
            user = {"id": as_id(number), "email": email, "password": LOGIN[1]}
            _post(f"{api}/users/records", user | {"passwordConfirm": LOGIN[1]}, superuser)
        token = _log_in(api, "users")
    finally:
        stop(process)
    _fill(data / "data.db", count)
    return token


def _fill(file: Path, count: int) -> None:
    connection = sqlite3.connect(file)
    with connection:
        connection.executemany(
            "INSERT INTO leads VALUES"
            " (:company, :time, :id, :notes, :score, :status, :time, :user)",
            (
                {
                    "company": lead.company_id,
                    "time": f"{lead.created_at:%Y-%m-%d %H:%M:%S}."
                    f"{lead.created_at.microsecond // 1000:03}Z",
                    "id": as_id(lead.id),
                    "notes": lead.notes,
                    "score": lead.score,
                    "status": lead.status,
                    "user": as_id(lead.user_id),
                }
                for lead in leads(count)
            ),
        )
    connection.close()


def _log_in(api: str, collection: str) -> str:
    body = {"identity": LOGIN[0], "password": LOGIN[1]}
    return str(_post(f"{api}/{collection}/auth-with-password", body)["token"])


def _post(url: str, body: dict[str, Any], token: str = "") -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Authorization": token}
    request = Request(url, json.dumps(body).encode(), headers)
    for attempt in range(TRIES):
        try:
            with urlopen(request) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except HTTPError:
            raise
        except URLError:  # the server does not listen yet
            if attempt == TRIES - 1:
                raise
            time.sleep(0.05)  # nothing tells when it listens
    raise AssertionError
