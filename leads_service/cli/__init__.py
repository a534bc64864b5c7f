"""The commands: ``leads-service …`` and, in an application that has leads, ``flask leads …``."""

from leads_service.cli import exports, imports, leads, server, store, users
from leads_service.cli.base import commands

for group in (*users.GROUPS, store.db):
    commands.add_command(group)
for command in (
    server.serve,
    leads.pipeline,
    leads.rescore,
    imports.import_leads,
    exports.export,
):
    commands.add_command(command)

__all__ = ["commands"]
