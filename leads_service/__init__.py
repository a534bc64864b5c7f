"""A multi-tenant sales pipeline over HTTP: each user has leads that nobody else can see.

The layers, of which each imports only those below it::

    app, extension                          composition: standalone, or within a host application
    cli, stub, api                          commands, a stub for client development, HTTP
    leads, accounts, transfer, ...          services: the operations, without Flask and SQL
    storage                                 persistence, a folder for each engine
    lead, exceptions                        the declaration of a lead, the errors
"""

from leads_service.app import create_app
from leads_service.extension import forget_user, init_app, reassign_user
from leads_service.version import __version__

__all__ = ["__version__", "create_app", "forget_user", "init_app", "reassign_user"]
