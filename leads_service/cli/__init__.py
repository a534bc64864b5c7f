"""The commands: ``leads-service …`` and, in an application that has leads, ``flask leads …``."""

from leads_service.cli import leads, server, store, users
from leads_service.cli.base import commands

for command in (*users.GROUPS, server.serve, store.db, leads.rescore, leads.pipeline):
    commands.add_command(command)

__all__ = ["commands"]
