"""A sales pipeline over HTTP: leads in one SQLite file, each seen by its owner alone.

A request goes one way: ``api`` (who asks, then what, then the view) calls ``leads`` (one query,
always for one user), which speaks through ``models`` and ``db``. Around that way stand ``app``
(a whole application), ``embed`` (the leads as a part of another one), ``auth`` (users and tokens),
``schemas`` (what comes in and goes out), ``scoring``, ``config``, ``logs`` and ``cli``.
"""

from leads_service.app import create_app
from leads_service.embed import forget_user, init_app, reassign_user
from leads_service.version import __version__

__all__ = ["__version__", "create_app", "forget_user", "init_app", "reassign_user"]
