"""The migrations of the schema on PostgreSQL: numbered scripts, run by ``storage.migrations``."""
