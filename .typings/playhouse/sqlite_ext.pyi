# What the tests use of playhouse.sqlite_ext, which has no type hints.
from peewee import AutoField

class AutoIncrementField(AutoField): ...
