"""Conversion of Peewee's exceptions to those of this package."""

from types import TracebackType
from typing import NoReturn

from peewee import DataError, IntegrityError, PeeweeException, ProgrammingError

from leads_service._compat.peewee import sqlstate_of
from leads_service.exceptions import StorageUnavailableError, TransactionConflictError

# Bugs in this package, which a retry does not help: they are passed on unchanged.
PROGRAMMING_ERRORS = (DataError, IntegrityError, ProgrammingError)
# But these are the operator's: a privilege or a table is missing, such as before a migration.
OPERATIONAL_STATES = ("42501", "42P01")

# A transaction that was not serializable, and one that was the victim of a deadlock.
CONFLICT_STATES = ("40001", "40P01")


def raise_translated(error: PeeweeException) -> NoReturn:
    """Raise what the services get for an exception of Peewee's.

    Raises:
        PeeweeException: The exception itself, if it is one of ``PROGRAMMING_ERRORS``.
        TransactionConflictError: It is one of ``CONFLICT_STATES``.
        StorageUnavailableError: It is neither.
    """
    if sqlstate_of(error) in CONFLICT_STATES:
        raise TransactionConflictError(one_line(error)) from error
    if isinstance(error, PROGRAMMING_ERRORS) and sqlstate_of(error) not in OPERATIONAL_STATES:
        raise error
    raise StorageUnavailableError(one_line(error)) from error


def one_line(error: Exception) -> str:
    """Return an error's text in one line, without the statement that PostgreSQL's may quote."""
    return " ".join(str(error).partition("\nLINE ")[0].split())


class StorageErrors:
    """Context manager that calls ``raise_translated`` for Peewee's exceptions; reusable."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, PeeweeException):
            raise_translated(error)


storage_errors = StorageErrors()
