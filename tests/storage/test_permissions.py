"""The files belong to their owner alone."""

import os
import stat
from pathlib import Path

from leads_service import create_app
from tests.helpers import caller


def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        app = create_app(instance_path=str(tmp_path / "instance"))
        caller(app, "alice").client.post("/v1/leads", json={"company_id": 1})
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "instance").stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("*/*")}
    assert modes == {"leads.db": 0o600, "leads.db-wal": 0o600, "leads.db-shm": 0o600}
