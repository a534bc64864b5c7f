"""The version, alone, so that packaging and the OpenAPI document can read it without the rest."""

__version__ = "1.0.0"
