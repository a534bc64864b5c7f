"""Errors that more than one layer knows."""

from peewee import OperationalError


class CommitOutcomeUnknownError(OperationalError):
    """A commit was asked for, and whether it will survive a crash can't be told."""
