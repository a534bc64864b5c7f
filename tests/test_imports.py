"""The map of the package: who may import whom."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import leads_service

PACKAGE = Path(leads_service.__file__).parent

# Each room and the rooms that it may import from.
ROOMS = {
    "__init__": {"app", "embed", "version"},
    "__main__": {"app", "cli", "contract", "stub"},
    "_compat": set(),
    "addresses": set(),
    "api": {
        "addresses",
        "blueprint",
        "idempotency",
        "leads",
        "openapi",
        "parameters",
        "parser",
        "responses",
    }
    | {"schemas", "service"},
    "app": {"blueprint", "cli", "config", "cors", "db", "embed", "logs", "metrics", "migrations"}
    | {"models", "openapi", "pages", "responses", "scoring", "throttle"},
    "accounts": {"models", "sqlite", "statements"},
    "auth": {"accounts", "models", "throttle"},
    "backup": {"copies", "db", "migrations", "sqlite"},
    "blueprint": {
        "leads",
        "logs",
        "openapi",
        "parser",
        "responses",
        "scoring",
        "service",
        "sqlite",
    },
    "bulk": {"models", "scoring", "sqlite"},
    "cli": {
        "accounts",
        "backup",
        "bulk",
        "copies",
        "cli",
        "config",
        "db",
        "migrations",
        "schemas",
        "scoring",
    }
    | {"_compat", "extras", "files", "owners", "service", "sqlite", "transfer"},
    "config": set(),
    "extras": {"config"},
    "copies": {"db"},
    "contract": {"app", "config"},
    "cors": {"blueprint", "responses"},
    "db": {"config", "sqlite"},
    "embed": {"accounts", "api", "auth", "blueprint", "cli", "config", "db", "leads", "migrations"}
    | {"models", "openapi", "owners", "scoring", "service", "throttle"},
    "fields": {"models"},
    "files": {"models", "strict_json"},
    "idempotency": {"models", "statements"},
    "leads": {"idempotency", "models", "queries", "scoring", "sqlite", "statements"},
    "logs": {"accounts"},
    "metrics": {"extras", "responses", "throttle"},
    "migrations": {"db", "locking", "models", "sqlite"},
    "models": set(),
    "openapi": {"fields", "models", "parameters", "schemas", "version"},
    "owners": {"accounts", "bulk", "models", "scoring", "sqlite", "statements"},
    "pages": {"addresses", "db", "extras", "openapi", "parameters", "responses", "schemas"}
    | {"service"},
    "parameters": {"models"},
    "parser": {"config", "strict_json"},
    "pytest_plugin": {"config", "stub"},
    "queries": {"models", "statements"},
    "responses": {"exceptions", "logs"},
    "schemas": {"fields", "models"},
    "scoring": {"config", "models"},
    "service": {"accounts", "leads", "owners", "scoring"},
    "statements": set(),
    "exceptions": set(),
    "locking": {"exceptions"},
    "sqlite": {"exceptions", "locking", "statements"},
    "strict_json": set(),
    "stub": {"app", "blueprint", "cli", "config", "cors", "db", "files", "logs", "models"}
    | {"responses", "service", "statements", "stub", "transfer"},
    "throttle": set(),
    "transfer": {
        "accounts",
        "bulk",
        "files",
        "models",
        "schemas",
        "scoring",
        "sqlite",
        "statements",
    },
    "version": set(),
}
WITH_FLASK = {
    "addresses",
    "__init__",
    "__main__",
    "_compat",
    "api",
    "app",
    "auth",
    "blueprint",
    "cli",
    "contract",
    "cors",
    "embed",
}
WITH_FLASK |= {"config", "logs", "metrics", "pages", "parser", "pytest_plugin", "responses"}
WITH_FLASK |= {"service", "stub", "throttle"}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(file: Path) -> str:
    """Return the module's name, or its package's for one in a sub-package."""
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(file: Path) -> Iterator[tuple[ast.stmt, str]]:
    """Yield every import statement of a file with the full name of what it imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                yield node, f"{node.module}.{alias.name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports(file: Path) -> None:
    room = room_of(file)
    top_level = ast.parse(file.read_text()).body
    for statement, name in imports(file):
        assert any(ast.dump(statement) == ast.dump(node) for node in top_level), f"late: {name}"
        package, _, rest = name.partition(".")
        if package == "leads_service" and rest != "create_app":
            assert rest.partition(".")[0] in ROOMS[room], f"{room} imports {name}"
        assert package != "flask" or room in WITH_FLASK, f"{room} imports {name}"


def test_every_room_is_on_the_map() -> None:
    assert {room_of(file) for file in FILES} == ROOMS.keys()
