"""Many clients at the same moment, on a server with two workers."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from threading import Barrier
from typing import Any

import orjson
import pytest

from tests.helpers import Server

PLAIN = {"company_id": 42}


@pytest.mark.parametrize("count", [2, 8])
def test_the_same_key_at_the_same_moment(server: Server, count: int) -> None:
    together = Barrier(count, timeout=10)
    ids = []

    def create(key: int) -> tuple[str, bytes]:
        headers = {"Authorization": f"Bearer {server.token}", "Idempotency-Key": f"{key}"}
        headers["Content-Type"] = "application/json"
        with closing(HTTPConnection(server.url.removeprefix("http://"), timeout=10)) as connection:
            connection.connect()
            together.wait()
            connection.request("POST", "/v1/leads", orjson.dumps(PLAIN), headers)
            answer = connection.getresponse()
            return f"{answer.status} {answer.headers['Idempotency-Replayed']}", answer.read()

    with ThreadPoolExecutor(count) as pool:
        for key in range(1000 * count, 1000 * count + 25):
            answers = list(pool.map(create, [key] * count))
            assert sorted(mark for mark, _ in answers) == ["201 None"] + ["201 true"] * (count - 1)
            (lead,) = {body for _, body in answers}
            ids.append(orjson.loads(lead)["id"])
    assert ids == list(range(ids[0], ids[0] + 25)), "nothing else was stored"


def test_one_of_many_at_the_same_moment(server: Server) -> None:
    """Compare and change are one transaction, over all workers."""
    count, rounds = 8, 10
    together = Barrier(count, timeout=10)
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}

    def ask(method: str, path: str, body: Any, **more: str) -> tuple[int, Any]:
        with closing(HTTPConnection(server.url.removeprefix("http://"), timeout=10)) as connection:
            connection.connect()
            if more:
                together.wait()
            connection.request(method, path, orjson.dumps(body), headers | more)
            answer = connection.getresponse()
            return answer.status, orjson.loads(answer.read())

    _, lead = ask("POST", "/v1/leads", {"company_id": 1})
    path, seen = f"/v1/leads/{lead['id']}", {lead["updated_at"]}

    def change(number: int) -> tuple[int, Any]:
        tag = f'"{lead["updated_at"]}"'
        return ask("PATCH", path, {"notes": f"{lead['notes']} {number}"}, **{"If-Match": tag})

    with ThreadPoolExecutor(count) as pool:
        for _ in range(rounds):
            answers = list(pool.map(change, range(count)))
            assert sorted(status for status, _ in answers) == [200] + [412] * (count - 1)
            (winner,) = (answer for status, answer in answers if status == 200)
            assert all(body["lead"] == winner for status, body in answers if status == 412)
            lead = winner
            seen.add(lead["updated_at"])
    assert len(lead["notes"].split()) == rounds
    assert len(seen) == rounds + 1
