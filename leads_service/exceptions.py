"""The errors that the package raises."""

from typing import Any


class LeadsServiceError(Exception):
    """Any error of this package."""


class ConfigError(LeadsServiceError):
    """A setting that can't be used; the message is one line that names it."""


class ScorerError(LeadsServiceError):
    """A scorer raised, or returned something else than an integer from 0 to 100."""


class AccountError(LeadsServiceError):
    """A request about users or tokens that can't be met; the message names the remedy."""


class NameTakenError(AccountError):
    """There is a user with this name already."""


class LeadNotFoundError(LeadsServiceError, LookupError):
    """The user has no lead with this id; whether somebody else has one is not disclosed."""


class LeadChangedError(LeadsServiceError):
    """The lead is in none of the states that the caller expects.

    Attributes:
        lead: The lead as it is now.

    """

    def __init__(self, lead: dict[str, Any]):
        super().__init__(lead["id"])
        self.lead = lead


class LeadGoneError(LeadsServiceError, LookupError):
    """The lead that an idempotency key created has been deleted."""


class CursorNotFoundError(LeadsServiceError, LookupError):
    """The cursor is not the id of a lead that the user has or had."""


class UserGoneError(LeadsServiceError, LookupError):
    """The user was removed after the request had been authenticated."""


class KeyReusedError(LeadsServiceError, ValueError):
    """The user sent the idempotency key with another body within its lifetime."""


class StorageError(LeadsServiceError):
    """The storage can't be used."""


class StorageUnusableError(StorageError):
    """The storage can't be used as it is; the message is one line that names the remedy."""


class StorageUnavailableError(StorageError):
    """The storage can't be reached, is locked, full or damaged; nothing was stored."""


class CommitOutcomeUnknownError(StorageUnavailableError):
    """A commit was asked for, and whether it will survive a crash can't be told."""
