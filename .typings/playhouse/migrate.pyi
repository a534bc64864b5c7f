# What the migrations use of playhouse.migrate, which has no type hints.
from typing import Self

from peewee import Database

class SchemaMigrator:
    def __init__(self, database: Database, schema: str | None = None) -> None: ...
    @classmethod
    def from_database(cls, database: Database, schema: str | None = None) -> Self: ...
