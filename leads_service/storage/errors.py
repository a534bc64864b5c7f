"""Conversion of Peewee's exceptions to those of this package."""

from types import TracebackType

from peewee import DataError, IntegrityError, InterfaceError, PeeweeException, ProgrammingError

from leads_service.exceptions import StorageUnavailableError

# Bugs in this package, which a retry does not help: they are passed on unchanged.
PROGRAMMING_ERRORS = (DataError, IntegrityError, InterfaceError, ProgrammingError)


class StorageErrors:
    """Context manager that converts Peewee's exceptions to StorageUnavailableError.

    ``PROGRAMMING_ERRORS`` are passed on unchanged.
    """

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
