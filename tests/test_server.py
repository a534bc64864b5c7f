"""The service as its users meet it: processes, sockets, HTTP."""

import json
import urllib.request

from conftest import Server


def test_serve(server: Server) -> None:
    request = urllib.request.Request(
        f"{server.url}/v1/leads",
        json.dumps({"company_id": 42}).encode(),
        {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 201
        lead = json.load(answer)
        assert answer.headers["Location"] == f"{server.url}/v1/leads/{lead['id']}"
