"""What a database's errors are to the services."""

from types import TracebackType

from peewee import DataError, IntegrityError, PeeweeException, ProgrammingError

from leads_service.exceptions import StorageUnavailableError

# Mistakes of this package, which no retry mends: they stay what they are.
PROGRAMMING_ERRORS = (DataError, IntegrityError, ProgrammingError)


class StorageErrors:
    """Turns what Peewee raises in a block, but for mistakes, into StorageUnavailableError."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, PeeweeException) and not isinstance(error, PROGRAMMING_ERRORS):
            raise StorageUnavailableError(str(error)) from error


storage_errors = StorageErrors()
