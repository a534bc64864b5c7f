"""What a database's errors are to the services."""

from types import TracebackType
from typing import NoReturn

from peewee import DataError, IntegrityError, PeeweeException, ProgrammingError

from leads_service.exceptions import StorageUnavailableError

# Mistakes of this package, which no retry mends: they stay what they are.
PROGRAMMING_ERRORS = (DataError, IntegrityError, ProgrammingError)


def raise_translated(error: PeeweeException) -> NoReturn:
    """Raise what the services get for an error of Peewee's.

    Raises:
        PeeweeException: The error itself, if it is a mistake.
        StorageUnavailableError: It is none.
    """
    if isinstance(error, PROGRAMMING_ERRORS):
        raise error
    raise StorageUnavailableError(str(error)) from error


class StorageErrors:
    """Calls ``raise_translated`` for what Peewee raises in a block; can be entered many times."""

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
