"""The measurements of a server in one round: lists, creates, updates, lists while others create."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from servers import NOTES, Server
from wrk import Load, Requests, load

LIST, CREATE, UPDATE, BESIDE = "list", "create", "update", "list while others create"
CREATING = 8  # connections of those others


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        leads: How many leads each server is filled with.
        rounds: How often each server is measured.
        seconds: For how long each time, for each measurement.
        warm_up: For how many seconds the same is done before.
    """

    leads: int
    rounds: int
    seconds: int
    warm_up: int


def list_load(server: Server, bases: list[str], token: str, seconds: int) -> Load:
    """Request the first page, which has to be the same each time."""
    text = server.text(bases[0], token)
    return load(bases, token, Requests("GET", server.path, 200, text), seconds)


def creates(server: Server) -> Requests:
    """Return the requests that create leads, each with notes of its own."""
    return Requests("POST", server.collection, server.created, NOTES, server.create)


def one_round(
    server: Server, bases: list[str], token: str, size: Size
) -> Iterator[tuple[str, Load]]:
    """Measure one thing after the other.

    Args:
        server: The server, of which instances run.
        bases: Their URLs.
        token: The bearer token.
        size: How long to measure, and how many leads there are.

    Yields:
        The name of what was measured, and the measurement.
    """
    create = creates(server)
    update = Requests("PATCH", server.lead, 200, NOTES, server.update, size.leads)
    if size.warm_up:
        list_load(server, bases, token, size.warm_up)
    yield LIST, list_load(server, bases, token, size.seconds)
    for name, requests in ((CREATE, create), (UPDATE, update)):
        if size.warm_up:
            load(bases, token, requests, size.warm_up)
        yield name, load(bases, token, requests, size.seconds)
    if server.is_subject:
        with ThreadPoolExecutor(1) as pool:
            # They create from before the lists are measured until after that.
            creating = pool.submit(load, bases, token, create, size.seconds + 2, CREATING)
            lists = Requests("GET", server.path, 200, NOTES)
            load(bases, token, lists, 1)
            listed = load(bases, token, lists, size.seconds)
            listed = replace(listed, failed=listed.failed + creating.result().failed)
        yield BESIDE, listed
