"""After a power cut at any moment, what was acknowledged is there, and the file is sound.

A workload runs with every write and flush of its folder recorded (``record_io.c``). For many
moments a disk is made up that holds what had been flushed by then and, of what had not, any part:
sectors of 512 bytes that came through, did not, or are a mixture. SQLite then opens what is left.
"""

import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import islice, pairwise
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from leads_service import create_app

SECTOR = 512
HEADER = struct.Struct("=cHqq")
CUTS = 300
PROGRAM = """
import os, sys
from threading import Thread
from leads_service import init_app
from leads_service.storage.sqlite import database as sqlite
from flask import Flask

sqlite.CHECKPOINT_INTERVAL = 25  # a hundred of what the test does would not come to one
if "no flush" in sys.argv[2]:
    sqlite.flush = lambda descriptor: None
if "no rewriting" in sys.argv[2]:
    sqlite.OpenFiles.rewrite_log = lambda files: None
    sqlite.CHECKPOINT_INTERVAL = 10**9  # the hole stays: a log that begins anew would heal it
acknowledged = os.open(sys.argv[1] + "/acknowledged", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
app = Flask("host")
init_app(app, user_id=lambda: 1, database=f"sqlite:///{sys.argv[1]}/leads.db")

def work(thread):
    client = app.test_client()
    for number in range(25):
        company_id = 1000 * thread + number + 1
        lead = client.post("/v1/leads", json={"company_id": company_id, "notes": "0" * 3000})
        if lead.status_code != 201:
            assert lead.status_code == 503
            continue
        os.write(acknowledged, b"%d 0\\n" % company_id)
        for change in range(1, number % 4):
            body = {"notes": str(change) * 3000}
            answer = client.patch(f"/v1/leads/{lead.json['id']}", json=body)
            assert answer.status_code in (200, 503)
            if answer.status_code == 200:
                os.write(acknowledged, b"%d %d\\n" % (company_id, change))

threads = [Thread(target=work, args=[number]) for number in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
os._exit(0)  # a power cut is no orderly end
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("cc") is None and not os.environ.get("CI"), reason="needs a C compiler"
    ),
]


class Record(NamedTuple):
    """One thing that was done to a file; see record_io.c for the kinds."""

    kind: str
    name: str
    number: int
    data: bytes


def read_records(path: Path) -> Iterator[Record]:
    with path.open("rb") as file:
        while header := file.read(HEADER.size):
            kind, name_length, number, length = HEADER.unpack(header)
            yield Record(kind.decode(), file.read(name_length).decode(), number, file.read(length))


class Disk:
    """What of a folder's files is on the disk for sure, and what may be."""

    def __init__(self, folder: Path):
        self.flushed = {
            path.name: bytearray(path.read_bytes()) for path in folder.iterdir() if path.is_file()
        }
        self.pending: list[tuple[int, Record]] = []  # with its number, since the last flush
        self.acknowledged: dict[int, int] = {}  # the last change by company

    def take(self, number: int, record: Record) -> None:
        """Take the next record."""
        if record.name == "acknowledged":
            for line in record.data.decode().splitlines():
                company_id, change = map(int, line.split())
                self.acknowledged[company_id] = change
        elif record.kind in "sf":
            served = [one for one in self.pending if self._serves(record, one)]
            self.pending = [one for one in self.pending if not self._serves(record, one)]
            if record.kind == "s":
                for _, one in served:
                    apply(self.flushed, one)
        else:
            self.pending.append((number, record))

    def _serves(self, flush: Record, pending: tuple[int, Record]) -> bool:
        """Return whether the flush makes sure of it: of a name only the folder's does."""
        number, record = pending
        name = "." if record.kind in "cu" else record.name
        return number < flush.number and flush.name == name

    def after_a_power_cut(self, random: Random) -> dict[str, bytearray]:
        """Return the files as they may be found."""
        files = {name: bytearray(content) for name, content in self.flushed.items()}
        kept = random.choice([0.0, 0.1, 0.5, 0.9, 1.0])
        for _, record in self.pending:
            if record.kind == "w":
                for part in sectors(record):
                    if random.random() < kept:
                        apply(files, part if random.random() < 0.95 else torn(part, random))
            elif random.random() < kept:
                apply(files, record)
        return {name: content for name, content in files.items() if name != "leads.db-shm"}


def apply(files: dict[str, bytearray], record: Record) -> None:
    if record.kind == "u":
        files.pop(record.name, None)
        return
    content = files.setdefault(record.name, bytearray())
    if record.kind == "t":
        del content[record.number :]
    content.extend(bytes(max(0, record.number - len(content))))
    content[record.number : record.number + len(record.data)] = record.data


def sectors(record: Record) -> Iterator[Record]:
    offset, rest = record.number, record.data
    while rest:
        length = SECTOR - offset % SECTOR
        yield record._replace(number=offset, data=rest[:length])
        offset, rest = offset + length, rest[length:]


def torn(record: Record, random: Random) -> Record:
    return record._replace(data=record.data[: random.randrange(len(record.data))])


def faults(files: dict[str, bytearray], acknowledged: dict[int, int], folder: Path) -> list[str]:
    """Return what is wrong with the database that is left."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    try:
        with closing(sqlite3.connect(folder / "leads.db")) as database:
            found = [row[0] for row in database.execute("PRAGMA integrity_check") if row[0] != "ok"]
            rows = database.execute("SELECT company_id, notes FROM leads_lead").fetchall()
    except sqlite3.DatabaseError as error:
        return [str(error)]
    finally:
        shutil.rmtree(folder)
    changes = {company_id: int(notes[0]) for company_id, notes in rows}
    found += [f"torn notes of {company}" for company, notes in rows if len({*notes}) != 1]
    found += [f"{len(rows)} leads, {len(changes)} companies"] * (len(rows) != len(changes))
    lost = [who for who, change in acknowledged.items() if changes.get(who, -1) < change]
    return found + [f"lost {who}" for who in lost]


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("recorder") / "record_io.so"
    source = Path(__file__).with_name("record_io.c")
    command = [
        "cc",
        "-shared",
        "-fPIC",
        "-O2",
        "-o",
        str(library),
        str(source),
        "-ldl",
        "-lpthread",
    ]
    subprocess.run(command, check=True)
    return library


@pytest.mark.parametrize(
    ("how", "loses"),
    [
        ("as it is", False),
        ("no flush", True),
        ("a flush that fails", False),
        ("a flush that fails, and no rewriting", True),
    ],
)
def test_power_cuts(recorder: Path, tmp_path: Path, how: str, loses: bool) -> None:
    """Those that lose show that the test can fail."""
    folder = tmp_path / "disk"
    folder.mkdir()
    database = create_app({"LEADS_DATABASE": f"sqlite:///{folder}/leads.db"})
    database.extensions["leads_service"].storage.database.close_for_good()
    disk = Disk(folder)
    recording = {"RECORD_FOLDER": str(folder), "RECORD_TO": str(tmp_path / "records")}
    if "fails" in how:
        recording["RECORD_FAIL"] = "20"
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), how],
        env=os.environ | recording | {"LD_PRELOAD": str(recorder)},
        check=True,
        timeout=120,
    )
    records = list(read_records(tmp_path / "records"))
    random = Random(how)
    cuts = sorted(random.sample(range(len(records)), CUTS))
    problems = []
    taken = iter(enumerate(records))
    for before, cut in pairwise([0, *cuts]):
        for number, record in islice(taken, cut - before):
            disk.take(number, record)
        files = disk.after_a_power_cut(random)
        found = faults(files, disk.acknowledged, tmp_path / "left")
        problems += [f"after record {cut}: {problem}" for problem in found]
    assert len(disk.acknowledged) > 50, "the workload was recorded"
    kinds = {(record.kind, record.name) for record in records}
    has_checkpoint = ("s", "leads.db") in kinds
    assert has_checkpoint == ("no rewriting" not in how)
    assert (("f", "leads.db-wal") in kinds) == ("fails" in how)
    assert any(": lost" in problem for problem in problems) if loses else problems == []
