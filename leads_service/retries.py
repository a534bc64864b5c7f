"""Transactions that the database has ended for the sake of another are run again."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from leads_service.exceptions import TransactionConflictError

ATTEMPTS = 5  # of a transaction; each one lost to a deadlock has taken a second

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def retry_conflicts(operation: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Return the operation, which is one transaction, with up to ``ATTEMPTS`` attempts.

    Raises:
        TransactionConflictError: The last attempt has failed as well.
    """

    @wraps(operation)
    def run(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        for _ in range(ATTEMPTS - 1):
            try:
                return operation(*arguments, **options)
            except TransactionConflictError:
                continue
        return operation(*arguments, **options)

    return run
