"""Where a file can be, and where it can't."""

import os
from pathlib import Path


def problem_with_database(file: Path) -> str | None:
    """Return why there can't be a database at a path, with the remedy; None if there may be.

    Args:
        file: The file, which need not exist.
    """
    try:
        exists = file.exists()
        if exists and not file.is_file():
            return f"{file} is a folder or a device; name a file"
        if exists and not os.access(file, os.W_OK):
            return f"{file} can't be written; check its owner and mode"
        if exists and Path(f"{file}-wal").exists():  # SQLite need not create it
            return None
        return problem_with_folder(file.parent)
    except OSError as error:
        return f"{file} can't be used: {error.strerror}"


def problem_with_folder(folder: Path) -> str | None:
    """Return why no file can be created in a folder, with the remedy; None if one may be."""
    if not folder.is_dir():
        return f"the folder {folder} does not exist; create it"
    if not os.access(folder, os.W_OK):
        return f"the folder {folder} can't be written; check its owner and mode"
    return None
