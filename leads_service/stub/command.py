"""The command ``stub``."""

from itertools import chain
from math import isnan
from pathlib import Path
from typing import Any

import click

from leads_service.cli.transfer import (
    READERS,
    Rejects,
    format_option,
    ignore_extra_option,
    kind_of,
    open_text,
)
from leads_service.stub import Stub
from leads_service.stub.faults import Faults, seconds
from leads_service.stub.samples import TOKENS
from leads_service.stub.server import listen

BANNER = """\
Leads API stub on {url}/v1/leads, documented on {url}/docs, board on {url}/board
Tokens: {tokens}. Stop it with Ctrl-C.

curl '{url}/v1/leads?limit=3' -H 'Authorization: Bearer alice-token'
curl {url}/v1/leads -H 'Authorization: Bearer alice-token' -H 'Content-Type: application/json' -d '{{"company_id": 42}}'
curl {url}/v1/leads -H 'Authorization: Bearer bob-token' -H 'X-Stub-Fail: 503' -H 'X-Stub-Delay: 300ms'
curl -X POST {url}/stub/reset
"""  # noqa: E501  # lines to paste


class Delay(click.ParamType):  # type: ignore[type-arg]  # it is generic since click 8.4
    """A delay such as ``300ms``."""

    name = "delay"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the delay in seconds; fail if it is malformed or too long."""
        try:
            return value if isinstance(value, float) else seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command("stub")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8001,  # the service's is 8000
    show_default=True,
    help="The port; 0 for a free one.",
)
@click.option(
    "--leads",
    type=click.IntRange(0, 100_000),
    default=200,
    show_default=True,
    help="How many leads alice and bob have together.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another one, other leads.")
@click.option(
    "--data",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="Leads of your own, CSV or JSON Lines as import takes them, for alice.",
)
@format_option
@ignore_extra_option
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the leads here, from one start to the next, instead of in memory.",
)
@click.option("--delay", type=Delay(), default=0.0, help="Answer late: 300ms, 1.5s.")
@click.option(
    "--fail-rate",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="This share of the answers is a 503: 0.05.",
)
def stub(
    port: int,
    data: str | None,
    kind: str | None,
    ignore_extra: bool,
    delay: float,
    fail_rate: float,
    **options: Any,
) -> None:
    """Serve made-up leads to a client under development, the same at every start.

    \b
    Example:  leads-service stub --leads 200 --delay 300ms --fail-rate 0.05
    """
    if isnan(fail_rate):
        raise click.BadParameter("nan is no share", param_hint="--fail-rate")
    faults = Faults(delay, fail_rate, options["seed"])
    if data is None:
        application = Stub(**options, faults=faults)
    else:
        read = READERS[kind_of(data, kind)]
        invalid = Rejects(None, remedy="mend these lines")
        try:
            with open_text(data) as text:
                rows = chain(read(text, ignore_extra=ignore_extra), invalid.end())
                application = Stub(**options, faults=faults, rows=rows, on_invalid=invalid.add)
        except ValueError as error:
            raise click.ClickException(f"{data}: {error}") from error
    server, url = listen(application, port)
    click.echo(BANNER.format(url=url, tokens=", ".join(TOKENS.values())))
    server.serve_forever()
