"""What commands print."""

import re
import sqlite3

from leads_service.storage.sqlite.database import has_safe_wal_reset
from leads_service.storage.sqlite.storage import WAL_RESET_WARNING

TOKEN = re.compile(r"leads_[\w-]{43}\n")
USERS = "ID  NAME  CREATED\n"
TOKENS = "ID  USER  TOKEN  LABEL  READ-ONLY  CREATED  EXPIRES  LAST USED\n"
EMPTY = """\
new                0    0.0%
contacted          0    0.0%
qualified          0    0.0%
converted          0    0.0%
lost               0    0.0%

Conversion rate: 0.0% (0 of 0 leads)
"""
SQLITE = f"SQLite: {sqlite3.sqlite_version}{'' if has_safe_wal_reset() else WAL_RESET_WARNING}\n"
PIPELINE = """\
new                3   30.0%  ████████████████████████████████████████
contacted          1   10.0%  █████████████
qualified          1   10.0%  █████████████
converted          3   30.0%  ████████████████████████████████████████
lost               2   20.0%  ███████████████████████████

Conversion rate: 30.0% (3 of 10 leads)
"""
