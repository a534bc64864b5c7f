"""The tables on a cluster of Citus, an extension of PostgreSQL: distributed by their owner.

What a user owns lies in one shard, to which every request of the user's goes; what all need, such
as the tokens, each node has (a reference table). So that a create need not look at a reference
table, for which Citus would ask all nodes, a foreign key refuses leads of unknown users.
"""

from collections.abc import Sequence

from peewee import Database

from leads_service._compat.peewee import execute
from leads_service.exceptions import StorageUnusableError
from leads_service.storage.models import TABLES, TABLES_WITH_OWNER

OWNED = tuple(table._meta.table_name for table in TABLES_WITH_OWNER)
ON_ALL_NODES = (*(name for name in TABLES if name not in OWNED), "leads_migration")

IS_INSTALLED = "SELECT 1 FROM pg_extension WHERE extname = 'citus'"
DISTRIBUTED = "SELECT table_name::text FROM citus_tables"
DISTRIBUTE_OWNED = "SELECT create_distributed_table('{0}', 'user_id', colocate_with => '{1}')"
COPY_TO_ALL_NODES = "SELECT create_reference_table('{0}')"
# What was in a table before stays in the coordinator's own, where nobody sees it.
FREE_SPACE = "SELECT truncate_local_data_after_distributing_table('{0}')"
# Shards are made one after the other: Citus refuses foreign keys to reference tables otherwise.
IN_SEQUENCE = "SET LOCAL citus.multi_shard_modify_mode = 'sequential'"
QUIETLY = "SET LOCAL client_min_messages = 'error'"

REFER_TO_OWNER = """
    ALTER TABLE leads_lead ADD CONSTRAINT leads_lead_owner
    FOREIGN KEY (user_id) REFERENCES leads_user (id)
"""
FIND_REFERENCE = """
    SELECT 1 FROM pg_constraint
    WHERE conname = 'leads_lead_owner' AND conrelid = to_regclass('leads_lead')
"""
NO_CITUS = (
    "{} has no Citus: install it on every node, then CREATE EXTENSION citus; see docs/scaling.md"
)


def undistributed(database: Database, location: str) -> list[str]:
    """Return the names of the tables that are not distributed yet.

    Args:
        database: The database, on the coordinator.
        location: Its name in messages.

    Raises:
        StorageUnusableError: The database has no Citus.
    """
    if not execute(database, IS_INSTALLED).fetchone():
        raise StorageUnusableError(NO_CITUS.format(location))
    done = {name for (name,) in execute(database, DISTRIBUTED)}
    return [name for name in (*ON_ALL_NODES, *OWNED) if name not in done]


def distribute(database: Database, names: Sequence[str]) -> None:
    """Distribute tables, within a transaction that keeps others from writing to them."""
    for statement in (IN_SEQUENCE, QUIETLY):
        execute(database, statement)
    for name in names:
        colocated = "default" if name == OWNED[0] else OWNED[0]
        sql = DISTRIBUTE_OWNED if name in OWNED else COPY_TO_ALL_NODES
        execute(database, sql.format(name, colocated))
    for name in reversed(names):
        execute(database, FREE_SPACE.format(name))


def refers_to_owner(database: Database) -> bool:
    """Return whether a foreign key refuses leads of unknown users."""
    return execute(database, FIND_REFERENCE).fetchone() is not None
