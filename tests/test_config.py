"""Settings: where they come from, and which values are refused."""

from pathlib import Path

import pytest

from leads_service import config
from leads_service.exceptions import ConfigError

ORIGIN = "https://app.example.com"


def test_defaults() -> None:
    assert config.load() == config.DEFAULTS


def test_what_is_given_prevails_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_BUSY_TIMEOUT", "7")
    monkeypatch.setenv("LEADS_PROXY_HOPS", "1")
    assert config.load({"LEADS_PROXY_HOPS": 2}) == config.DEFAULTS | {
        "LEADS_BUSY_TIMEOUT": 7,
        "LEADS_PROXY_HOPS": 2,
    }


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        *(("LEADS_BUSY_TIMEOUT", str(value), value) for value in (0, 3600)),
        *(("LEADS_PROXY_HOPS", str(value), value) for value in (0, 10)),
        *(("LEADS_AUTH_FAILURES", str(value), value) for value in (0, 1_000_000)),
        *(("LEADS_LOG_LEVEL", level, level) for level in ("debug", "info", "warning", "error")),
        ("LEADS_SCORER", "tests.scorers:by_company", "tests.scorers:by_company"),
        *(("LEADS_METRICS_TOKEN", secret, secret) for secret in ("x" * 16, "1234567890123456")),
        ("LEADS_CORS_ORIGINS", f"http://localhost:3000, {ORIGIN}", None),
        ("LEADS_HOSTS", "leads.example.com, .example.org", None),
    ],
)
def test_values_at_their_bounds(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: object
) -> None:
    monkeypatch.setenv(name, value)
    assert config.load()[name] == (value if expected is None else expected)


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        *(
            ("LEADS_BUSY_TIMEOUT", value, "a whole number of seconds from 0 to 3600, not ")
            for value in ("-1", "3601", "1.5", "5s", "true", "null", "", "[5]", "9" * 5000)
        ),
        *(
            ("LEADS_PROXY_HOPS", value, "a whole number from 0 to 10, not ")
            for value in ("-1", "11", "1.0", "one", "false", "", '{"x_for": 1}')
        ),
        *(
            ("LEADS_AUTH_FAILURES", value, "a whole number of invalid tokens a minute")
            for value in ("-1", "1000001", "many")
        ),
        *(
            ("LEADS_LOG_LEVEL", value, "debug, info, warning or error, not ")
            for value in ("INFO", "trace", "", "10", "[]", "{}", "null")
        ),
        *(
            ("LEADS_CORS_ORIGINS", value, "origins such as https://app.example.com")
            for value in ("*", "app.example.com", f"{ORIGIN}/", ".*", "", "null")
        ),
        *(
            ("LEADS_HOSTS", value, "names such as leads.example.com")
            for value in ("", "*", "https://leads.example.com", "a.example:80", "a,,b")
        ),
        ("LEADS_METRICS_TOKEN", "x" * 15, "a secret of 16 characters or more"),
        ("LEADS_SCORER", "", "a function as package.module:function"),
        ("LEADS_DATABASE", "", "a URL such as sqlite:////var/lib/leads/leads.db"),
    ],
)
def test_values_that_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, part: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as error:
        config.load()
    message = str(error.value)
    assert message.startswith(f"{name} must be {part}")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("LEADS_BUSY_TIMEOUT", value) for value in (True, 5.0, None)),
        *((name, 7) for name in ("LEADS_CORS_ORIGINS", "LEADS_HOSTS", "LEADS_DATABASE")),
    ],
)
def test_values_of_other_types(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^{name} must be"):
        config.load({name: value})


def test_a_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_METRICS_TOKEN", "s3cr3t")
    with pytest.raises(ConfigError) as error:
        config.load()
    assert "s3cr3t" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LEADS_DATABSE", "LEADS_DATABASE"),
        ("LEADS_PROXYHOPS", "LEADS_PROXY_HOPS"),
        ("LEADS_LOGLEVEL", "LEADS_LOG_LEVEL"),
    ],
)
def test_names_that_are_misspelt(monkeypatch: pytest.MonkeyPatch, name: str, meant: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigError, match=f"^{name} is not a setting; did you mean {meant}\\?$"):
        config.load()


@pytest.mark.parametrize(
    "environment",
    [
        {"LEADS_SERVICE_PORT_8000_TCP": "tcp://10.0.0.1:8000"},  # as Kubernetes sets it
        {"LEADS_PORT": "tcp://10.0.0.1:8000", "LEADS_SERVICE_HOST": "10.0.0.1"},
        {"LEADS_DATABASE_PORT_5432_TCP_ADDR": "10.0.0.2"},
        {"LEADS_TEAM": "[1", "LEADS_LEAD__NAME": "Zoë"},
    ],
)
def test_variables_of_somebody_else(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert config.load() == config.DEFAULTS


@pytest.mark.parametrize("name", ["LEADS_DATABASE__X", "LEADS_TEAM__X"])
def test_variables_that_contradict_each_other(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("LEADS_DATABASE", "sqlite:////tmp/leads.db")
    monkeypatch.setenv("LEADS_TEAM", "sales")
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigError, match=r"two underscores in its name .*; unset it"):
        config.load()


@pytest.mark.parametrize("name", ["instance", "50% #1? a%20b ë"])
def test_the_database_is_in_the_instance_folder(tmp_path: Path, name: str) -> None:
    url = config.database_url(config.DEFAULTS, str(tmp_path / name))
    assert url.startswith("sqlite:///")
    assert (tmp_path / name).is_dir()


def test_a_database_that_is_set_makes_no_instance_folder(tmp_path: Path) -> None:
    settings = config.load({"LEADS_DATABASE": "sqlite:////srv/leads.db"})
    assert config.database_url(settings, str(tmp_path / "no")) == "sqlite:////srv/leads.db"
    assert list(tmp_path.iterdir()) == []


def test_an_instance_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^cannot create .*; set LEADS_DATABASE to a writable"):
        config.database_url(config.DEFAULTS, str(tmp_path / "file" / "instance"))
