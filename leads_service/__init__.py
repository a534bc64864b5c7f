"""A sales pipeline over HTTP: leads that each user sees alone.

The folders show the layers, and dependencies point one way::

    app, extension                          compose: a whole application, a part of a host's
    cli, stub, api                          commands, a stub for development, HTTP
    leads, accounts, transfer, ...          services: what can be done; neither Flask nor SQL
    storage                                 where it is kept; a folder for each engine
    lead, exceptions                        what a lead is, declared once
"""

from leads_service.app import create_app
from leads_service.extension import forget_user, init_app, reassign_user
from leads_service.version import __version__

__all__ = ["__version__", "create_app", "forget_user", "init_app", "reassign_user"]
