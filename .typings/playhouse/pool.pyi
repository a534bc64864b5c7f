# What the tests use of playhouse.pool, which has no type hints.
from peewee import PostgresqlDatabase

class PooledPostgresqlDatabase(PostgresqlDatabase):
    def close_all(self) -> None: ...
