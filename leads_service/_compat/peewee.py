"""Peewee's private API."""

import peewee

# Peewee turns what a driver raises into its own errors in its own methods only. Its `playhouse`
# imports this context manager for the rest, under a name that is not documented.
driver_errors = peewee.__exception_wrapper__  # type: ignore[attr-defined]
