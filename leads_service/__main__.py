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
    """Run the command line; the application is configured by the environment."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  # None if closed by >&-
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115  # the same
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115  # the same
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names may have characters outside its encoding
            stream.reconfigure(errors="backslashreplace")
    sys.path.append("")  # the current folder, where LEADS_SCORER may refer to a module
    for command in (stub, openapi_command(create_app)):  # only here: they create applications
        commands.add_command(command)
    commands(obj=ScriptInfo(create_app=application), prog_name="leads-service")


if __name__ == "__main__":
    main()
