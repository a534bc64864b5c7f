"""The commands: ``leads-service …`` and, in a host application, ``flask leads …``.

The docstrings of the command functions are their ``--help`` texts.
"""

from leads_service.cli import backups, copying, database, leads, server, transfer, users
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
for command in (
    *users.GROUPS,
    server.serve,
    backups.backup,
    backups.restore,
    copying.copy,
    *EVERYWHERE,
):
    commands.add_command(command)


def for_host(*, takes_tokens: bool) -> Commands:
    """Return the commands for a host application, which has no server and no backups.

    Args:
        takes_tokens: Whether to include the commands about users and tokens.
    """
    group = Commands("leads", help="Leads, and where they are kept.")
    group.program = "flask leads"
    for command in (*(users.GROUPS if takes_tokens else ()), *EVERYWHERE):
        group.add_command(command)
    return group
