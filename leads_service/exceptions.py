"""The errors that the package raises."""

from typing import Any


class LeadsServiceError(Exception):
    """Any error of this package."""


class ConfigError(LeadsServiceError):
    """A setting is not valid; the message is one line that names it."""


class ScorerError(LeadsServiceError):
    """The scorer raised an exception, or did not return an integer from 0 to 100."""


class AccountError(LeadsServiceError):
    """An operation on users or tokens is not possible; the message names the remedy."""


class NameTakenError(AccountError):
    """Another user has this name."""


class LeadNotFoundError(LeadsServiceError, LookupError):
    """The user has no lead with this id; whether another user has is not disclosed."""


class LeadChangedError(LeadsServiceError):
    """The lead is not in one of the states (values of ``updated_at``) that the caller expects.

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


class TokenGoneError(LeadsServiceError, LookupError):
    """The token was revoked after the request had been authenticated, or since it was used last."""


class KeyReusedError(LeadsServiceError, ValueError):
    """The user has used the idempotency key with another body within its lifetime."""


class StorageError(LeadsServiceError):
    """Any error of the database."""


class StorageUnusableError(StorageError):
    """The database can't be used as it is; the message is one line that names the remedy."""


class StorageUnavailableError(StorageError):
    """The database can't be reached, is locked, full or damaged; nothing was stored."""


class TransactionConflictError(StorageUnavailableError):
    """The database has ended a transaction that it could not run beside another; try again."""


class CommitOutcomeUnknownError(StorageUnavailableError):
    """A commit failed, and it is not known whether its changes will survive a crash."""
