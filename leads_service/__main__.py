"""The program ``leads-service``, also as ``python -m leads_service``."""

import os
import sys
from io import TextIOWrapper

from flask.cli import ScriptInfo

from leads_service.app import application, create_app
from leads_service.cli import commands
from leads_service.cli.openapi import openapi_command
from leads_service.stub.command import stub


def main() -> None:
    """Run the command that the arguments name, on the application that the environment sets up."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  # closed: >&-
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name may hold what the terminal can't show
            stream.reconfigure(errors="backslashreplace")
    sys.path.append("")  # the current folder, where a LEADS_SCORER of one's own is likely to lie
    for command in (stub, openapi_command(create_app)):  # which no application has
        commands.add_command(command)
    commands(obj=ScriptInfo(create_app=application), prog_name="leads-service")


if __name__ == "__main__":
    main()
