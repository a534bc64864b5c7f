"""The commands: ``leads-service …`` and, in an application that has leads, ``flask leads …``."""

from leads_service.cli import backups, database, leads, server, transfer, users
from leads_service.cli.base import Commands

EVERYWHERE = (
    database.db,
    leads.pipeline,
    leads.rescore,
    leads.reassign,
    transfer.import_leads,
    transfer.export,
)

commands = Commands("leads", help="Users, tokens and leads, and the server that serves them.")
for command in (*users.GROUPS, server.serve, backups.backup, backups.restore, *EVERYWHERE):
    commands.add_command(command)


def for_host(*, takes_tokens: bool) -> Commands:
    """Return the commands of a host: no server, and no users if they are the host's own."""
    group = Commands("leads", help="Leads, and where they are kept.")
    group.program = "flask leads"
    for command in (*(users.GROUPS if takes_tokens else ()), *EVERYWHERE):
        group.add_command(command)
    return group
