"""On SQLite, the thread that has the write lock runs what other threads wait to run."""

import gc
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from contextvars import Context, ContextVar
from pathlib import Path
from threading import Event, Semaphore, current_thread
from typing import Any

import peewee
import pytest

from leads_service.exceptions import (
    CommitOutcomeUnknownError,
    LeadNotFoundError,
    StorageUnavailableError,
)
from leads_service.storage.sqlite import database as sqlite
from leads_service.storage.sqlite.locking import Job, JobQueue
from leads_service.storage.sqlite.storage import SqliteFileStorage
from tests.helpers import migrated_file
from tests.storage.test_conformance import new

OTHERS = 4
number: ContextVar[int | None] = ContextVar("number")  # of the thread that asks
Work = Callable[[], Any]


class Threads:
    """Threads that wait together for the write lock of a storage, which the test's thread has.

    Attributes:
        groups: How many jobs each transaction had that was committed.
        jobs: All that were put into the queue.
    """

    def __init__(self, storage: SqliteFileStorage, pool: ThreadPoolExecutor):
        self.storage = storage
        self.groups: list[int] = []
        self.jobs: list[Job] = []
        self._pool = pool
        self._waiting = Semaphore(0)
        queue = storage.database.jobs
        put, end = queue.put, queue.end

        def put_and_tell(job: Job) -> None:
            self.jobs.append(job)
            put(job)
            self._waiting.release()

        def end_and_count(error: Exception | None = None) -> None:
            self.groups.append(len(queue.present))
            end(error)

        queue.put = put_and_tell  # type: ignore[method-assign]
        queue.end = end_and_count  # type: ignore[method-assign]

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Have the lock for the block."""
        lock = self.storage.database.write_lock
        lock.acquire(20)
        yield
        lock.release()

    def start(self, *work: Work) -> list[Future[Any]]:
        """Let a thread of its own transact each function, in this order; return when all wait."""
        futures = []
        for one in work:
            futures.append(self._pool.submit(self._transact, one, Context()))
            self._waiting.acquire()
        return futures

    def run(self, *work: Work) -> list[Future[Any]]:
        """Let the functions wait for the lock, each in a thread of its own, and then have it."""
        with self.held_up():
            return self.start(*work)

    def _transact(self, work: Work, context: Context) -> Any:
        context.run(number.set, current_thread().ident)
        with self.storage.opened():
            return context.run(self.storage.transact, work)

    def companies(self) -> list[int]:
        with self.storage.opened():
            return sorted(lead["company_id"] for lead in self.storage.leads_after(0, 100))


@pytest.fixture
def threads(tmp_path: Path) -> Iterator[Threads]:
    file = tmp_path / "leads.db"
    file.write_bytes(migrated_file())
    storage = SqliteFileStorage(file)
    with ThreadPoolExecutor(OTHERS) as pool:
        yield Threads(storage, pool)
    storage.dispose()


def storing(threads: Threads, company: int) -> Work:
    lead = new(company_id=company)
    return lambda: threads.storage.insert_lead(lead, of_known_user=False)["company_id"]


def several(threads: Threads) -> list[Work]:
    return [storing(threads, company) for company in range(1, OTHERS)]


def test_all_are_stored_by_one_commit(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is told so before that is flushed, while another process may write already."""
    told: list[bool] = []
    file = threads.storage.location

    def flush(descriptor: int) -> None:
        told.extend(job.is_done for job in threads.jobs)
        with closing(sqlite3.connect(file, timeout=0)) as another:
            another.execute("BEGIN IMMEDIATE")

    monkeypatch.setattr(sqlite, "flush", flush)
    futures = threads.run(*several(threads))
    assert [future.result() for future in futures] == [1, 2, 3] == threads.companies()
    assert threads.groups == [3]
    assert told == [False] * 3


def test_one_that_comes_during_a_transaction_leads_the_next(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, may_end = Event(), Event()

    def flush(descriptor: int) -> None:
        began.set()
        assert may_end.wait(20)

    monkeypatch.setattr(sqlite, "flush", flush)
    futures = threads.start(storing(threads, 1))
    assert began.wait(20)
    futures += threads.start(storing(threads, 2), storing(threads, 3))
    may_end.set()
    assert [future.result() for future in futures] == [1, 2, 3] == threads.companies()
    assert threads.groups == [1, 2]


def test_those_who_may_join_a_transaction_are_waited_for(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_joined = Event()
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        assert has_joined.wait(20)

    monkeypatch.setattr(sqlite, "sleep", sleep)
    somebodys = threads.storage.database.take_connection()
    futures = threads.start(storing(threads, 1), storing(threads, 2))
    has_joined.set()
    assert [future.result() for future in futures] == [1, 2] == threads.companies()
    assert (threads.groups, waits) == ([2], [sqlite.COMMIT_DELAY])
    threads.storage.database.give_back(somebodys)


def test_nobody_is_waited_for_when_all_others_have_gone(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(sqlite, "sleep", waits.append)
    database = threads.storage.database
    database.give_back(database.take_connection())
    database.take_connection()  # as by a thread that ends without giving it back
    gc.collect()
    (future,) = threads.start(storing(threads, 1))
    future.result()
    assert waits == []


def test_threads_lead_in_the_order_in_which_they_came() -> None:
    """So do those whose transaction was rolled back, before others that have come meanwhile."""
    queue, jobs = JobQueue(), [Job(lambda: None) for _ in range(4)]
    for job in jobs[:3]:
        queue.put(job)
    assert [job.has_to_lead for job in jobs] == [True, False, False, False]
    assert queue.take(jobs[0]) == jobs[:3]
    queue.put(jobs[3])
    queue.roll_back()
    for expected in jobs[1:]:
        queue.hand_over()
        assert [job for job in jobs if job.turn.acquire(blocking=False)] == [expected]
        queue.take(expected)
    queue.hand_over()
    queue.put(last := Job(lambda: None))
    assert last.has_to_lead, "nobody did"


def refuses(threads: Threads) -> None:
    raise LeadNotFoundError(1)


def stores_and_refuses(threads: Threads) -> None:
    storing(threads, 9)()
    raise LeadNotFoundError(1)


def violates(threads: Threads) -> None:
    threads.storage.insert_lead(new(company_id=9, status="x" * 99), of_known_user=False)


def is_locked(threads: Threads) -> None:
    raise StorageUnavailableError("locked")


@pytest.mark.parametrize(
    ("work", "error", "groups"),
    [
        (refuses, LeadNotFoundError, [4]),
        (stores_and_refuses, LeadNotFoundError, [1, 1, 1]),
        (violates, peewee.IntegrityError, [1, 1, 1]),
        (is_locked, StorageUnavailableError, [1, 1, 1]),
    ],
)
def test_one_that_fails_fails_alone(
    threads: Threads, work: Callable[[Threads], None], error: type[Exception], groups: list[int]
) -> None:
    *others, failed = threads.run(*several(threads), lambda: work(threads))
    with pytest.raises(error):
        failed.result()
    assert [future.result() for future in others] == [1, 2, 3] == threads.companies()
    assert threads.groups == groups


def test_one_that_is_run_again_has_what_came_of_that(threads: Threads) -> None:
    """It refuses at first, in a transaction that is then rolled back for the sake of another."""
    store, calls = storing(threads, 1), []

    def refuse_at_first() -> Any:
        calls.append(1)
        return store() if len(calls) > 1 else refuses(threads)

    again, failed = threads.run(refuse_at_first, lambda: stores_and_refuses(threads))
    with pytest.raises(LeadNotFoundError):
        failed.result()
    assert [again.result()] == [1] == threads.companies()


def fail_to_commit(monkeypatch: pytest.MonkeyPatch, threads: Threads, name: str) -> None:
    """Let the commit of the next group fail, and no other one."""
    commit, left = peewee.SqliteDatabase.commit, [None]

    def fail(database: peewee.SqliteDatabase) -> Any:
        if len(threads.storage.database.jobs.present) > 1 and left:
            left.pop()
            error: Any = peewee.OperationalError("it failed")
            error.orig = sqlite3.OperationalError("it failed")
            error.orig.sqlite_errorname = name
            raise error
        return commit(database)

    monkeypatch.setattr(peewee.SqliteDatabase, "commit", fail)


def test_after_a_commit_that_was_rolled_back_each_is_alone(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_to_commit(monkeypatch, threads, "SQLITE_FULL")
    futures = threads.run(*several(threads))
    assert [future.result() for future in futures] == [1, 2, 3] == threads.companies()
    assert threads.groups == [1, 1, 1]


def test_after_a_commit_of_unknown_outcome_none_is_run_again(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_to_commit(monkeypatch, threads, "SQLITE_IOERR")
    for future in threads.run(*several(threads)):
        with pytest.raises(CommitOutcomeUnknownError):
            future.result()
    assert threads.companies() == []


def test_a_flush_that_fails_concerns_all(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(sqlite, "flush", fail)
    for future in threads.run(*several(threads)):
        with pytest.raises(CommitOutcomeUnknownError):
            future.result()
    assert threads.groups == [3]


def test_a_flush_that_fails_lets_nobody_write_before_that_is_recorded(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it might be recorded of the jobs of whoever writes."""
    lock, jobs = threads.storage.database.write_lock, threads.storage.database.jobs
    roll_back = jobs.roll_back

    def fail(_: int) -> None:
        raise OSError("the disk is gone")

    def roll_back_later() -> None:
        with ThreadPoolExecutor(1) as another, pytest.raises(peewee.OperationalError):
            another.submit(lock.acquire, 0.01).result()
        roll_back()

    monkeypatch.setattr(sqlite, "flush", fail)
    monkeypatch.setattr(jobs, "roll_back", roll_back_later)
    with (
        threads.storage.opened(),
        pytest.raises(CommitOutcomeUnknownError),
        threads.storage.writing(),
    ):
        storing(threads, 1)()


def test_one_that_is_interrupted_lets_others_lead(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it waits, and when it has just been told to lead."""
    database = threads.storage.database
    wait_for, withdraw = database.write_lock.wait_for, database.jobs.withdraw
    is_led = Event()

    def interrupt(lock: Any, timeout: float) -> None:
        if lock in [job.turn for job in threads.jobs]:
            raise KeyboardInterrupt
        wait_for(lock, timeout)

    def withdraw_too_late(job: Job) -> bool:
        is_led.set()
        assert job.turn.acquire(timeout=20)
        job.turn.release()
        return withdraw(job)

    monkeypatch.setattr(database.write_lock, "wait_for", interrupt)
    with threads.held_up():
        futures = threads.start(storing(threads, 1), storing(threads, 2))
        with pytest.raises(KeyboardInterrupt):
            futures[1].result()
    assert futures[0].result() == 1
    monkeypatch.setattr(database.jobs, "withdraw", withdraw_too_late)
    JobQueue.put(database.jobs, Job(lambda: None))  # this thread leads
    (interrupted,) = threads.start(storing(threads, 3))
    assert is_led.wait(20)
    database.jobs.hand_over()
    with pytest.raises(KeyboardInterrupt):
        interrupted.result()
    monkeypatch.undo()
    assert threads.run(storing(threads, 4))[0].result() == 4
    assert threads.companies() == [1, 4]


def test_one_that_is_interrupted_when_it_has_been_told_lets_others_lead(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has been told that it is done, or that it leads."""
    database = threads.storage.database
    wait_for = database.write_lock.wait_for

    def interrupt(lock: Any, timeout: float) -> None:
        wait_for(lock, timeout)
        if lock in [job.turn for job in threads.jobs]:
            raise KeyboardInterrupt

    monkeypatch.setattr(database.write_lock, "wait_for", interrupt)
    led, done = threads.run(storing(threads, 1), storing(threads, 2))
    with pytest.raises(KeyboardInterrupt):
        done.result()
    assert led.result() == 1
    JobQueue.put(database.jobs, Job(lambda: None))  # this thread leads
    (interrupted,) = threads.start(storing(threads, 3))
    database.jobs.hand_over()
    with pytest.raises(KeyboardInterrupt):
        interrupted.result()
    monkeypatch.undo()
    assert threads.run(storing(threads, 4))[0].result() == 4
    assert threads.companies() == [1, 2, 4]


def test_a_commit_that_is_interrupted_lets_others_write(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr(sqlite, "flush", interrupt)
        (first,) = threads.run(storing(threads, 1))
        with pytest.raises(KeyboardInterrupt):
            first.result()
    threads.storage.database.timeout = 1
    assert threads.run(storing(threads, 2))[0].result() == 2


def test_one_that_lost_patience_is_not_run_after_a_rollback(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its transaction was under way then, so that it had to wait for what came of it."""
    database = threads.storage.database
    wait_for = database.write_lock.wait_for
    may_end = Event()

    def lose_patience(lock: Any, timeout: float) -> None:
        if lock in [job.turn for job in threads.jobs]:
            may_end.set()
            raise peewee.OperationalError("it took too long")
        wait_for(lock, timeout)

    def fail() -> None:
        assert may_end.wait(20)
        raise StorageUnavailableError("it failed")

    monkeypatch.setattr(database.write_lock, "wait_for", lose_patience)
    monkeypatch.setattr(sqlite, "POLL_INTERVAL", 0.001)
    with threads.held_up():
        failing, late = threads.start(fail, storing(threads, 1))
    for future in (failing, late):
        with pytest.raises(StorageUnavailableError):
            future.result()
    assert threads.companies() == []


def test_a_connection_that_stays_in_a_transaction_is_none_to_write_with(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its changes are no part of a commit."""
    rollback = peewee.SqliteDatabase.rollback
    failures = [MemoryError()]

    def fail(database: peewee.SqliteDatabase) -> Any:
        if failures:
            raise failures.pop()
        return rollback(database)

    monkeypatch.setattr(peewee.SqliteDatabase, "rollback", fail)
    stays, failed = threads.run(storing(threads, 1), lambda: stores_and_refuses(threads))
    with pytest.raises(StorageUnavailableError):
        stays.result()
    with pytest.raises((LeadNotFoundError, StorageUnavailableError)):
        failed.result()
    assert threads.run(storing(threads, 2))[0].result() == 2
    assert threads.companies() == [2]


def test_those_that_waited_too_long_are_not_run_later(threads: Threads) -> None:
    threads.storage.database.timeout = 0.01
    with threads.held_up():
        for future in threads.start(*several(threads)):
            with pytest.raises(StorageUnavailableError):
                future.result()
    (last,) = threads.run(storing(threads, 9))
    assert [last.result()] == [9] == threads.companies()


def test_one_that_another_thread_runs_waits_for_it(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if it takes longer than the lock may take: it can't be told that it was not stored."""
    database = threads.storage.database
    withdraw, wait_for = database.jobs.withdraw, database.write_lock.wait_for
    is_run, too_late = Event(), Event()

    def withdraw_and_tell(job: Job) -> bool:
        is_withdrawn = withdraw(job)
        if not is_withdrawn:
            too_late.set()
        return is_withdrawn

    def lose_patience(lock: Any, timeout: float) -> None:
        if lock in [job.turn for job in threads.jobs]:
            assert is_run.wait(20)
            raise peewee.OperationalError("it took too long")
        wait_for(lock, timeout)

    def run() -> bool:
        is_run.set()
        return too_late.wait(20)

    monkeypatch.setattr(database.jobs, "withdraw", withdraw_and_tell)
    monkeypatch.setattr(database.write_lock, "wait_for", lose_patience)
    with threads.held_up():
        futures = threads.start(run, *several(threads))
    assert [future.result() for future in futures] == [True, 1, 2, 3]


def test_each_has_the_context_of_its_thread(threads: Threads) -> None:
    futures = threads.run(*[lambda: (number.get(), current_thread().ident)] * 3)
    seen, ran_in = zip(*(future.result() for future in futures), strict=True)
    assert len(set(seen)) == 3
    assert len(set(ran_in)) == 1
