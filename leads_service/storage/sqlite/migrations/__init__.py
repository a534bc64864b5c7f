"""The migrations of the schema on SQLite: numbered scripts, run by ``storage.migrations``."""
