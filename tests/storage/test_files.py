"""Paths at which there can't be a database, and what mends it."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from leads_service.exceptions import ConfigError, StorageUnusableError
from leads_service.storage import open_storage
from leads_service.stub import Stub
from tests.helpers import migrated_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder / "leads.db"


def forbid(monkeypatch: pytest.MonkeyPatch, forbidden: Path) -> None:
    """Let a path not be writable, which one can't bring about as root."""
    access = os.access

    def is_allowed(path: str | Path, mode: int, **options: Any) -> bool:
        return Path(path) != forbidden and access(path, mode, **options)

    monkeypatch.setattr(os, "access", is_allowed)


def assert_refused(file: Path, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(f'LEADS_DATABASE: {message}')}$"):
        open_storage(f"sqlite:///{file}")
    with pytest.raises(StorageUnusableError, match=f"^{re.escape(message)}$"):
        Stub(file=file)


def test_no_folder(file: Path) -> None:
    file.parent.rmdir()
    assert_refused(file, f"the folder {file.parent} does not exist; create it")


def test_a_folder(file: Path) -> None:
    file.mkdir()
    assert_refused(file, f"{file} is a folder or a device; name a file")


def test_a_pipe(file: Path) -> None:
    os.mkfifo(file)
    assert_refused(file, f"{file} is a folder or a device; name a file")


def test_a_file_that_is_not_writable(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_bytes(migrated_file())
    forbid(monkeypatch, file)
    assert_refused(file, f"{file} can't be written; check its owner and mode")


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_that_is_not_writable(
    file: Path, exists: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if exists:
        file.write_bytes(migrated_file())
    forbid(monkeypatch, file.parent)
    assert_refused(file, f"the folder {file.parent} can't be written; check its owner and mode")


def test_a_folder_with_the_log_need_not_be_writable(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(migrated_file())
    with open_storage(f"sqlite:///{file}").opened():
        forbid(monkeypatch, file.parent)
        assert open_storage(f"sqlite:///{file}").users() == []


def test_a_name_that_is_too_long(file: Path) -> None:
    name = file.with_name("x" * 300)
    assert_refused(name, f"{name} can't be used: File name too long")


def test_no_backup_to_a_folder_that_is_not_writable(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(migrated_file())
    storage = open_storage(f"sqlite:///{file}")
    target = tmp_path / "backup.db"
    forbid(monkeypatch, tmp_path)
    with pytest.raises(StorageUnusableError, match=rf"^the folder {tmp_path} can't be written; "):
        storage.back_up(target, replace=False)
