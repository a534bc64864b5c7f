"""The files under deploy/ fit the service and each other; test_litestream.py runs one."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from configparser import ConfigParser, SectionProxy
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from leads_service import config, create_app
from leads_service.api.parsing import MAX_BODY
from leads_service.cli import commands
from leads_service.cli.server import MAX_CONNECTIONS, RESERVED_FILES, STOP_TIMEOUT
from leads_service.state import state_of
from tests.helpers import BIN, ROOT, Caller, first_match, free_port, serve

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
POSTGRESQL = yaml.safe_load((DEPLOY / "compose.postgresql.yaml").read_text())
SERVERS: dict[str, dict[str, Any]] = POSTGRESQL["services"]
PATRONI = yaml.safe_load((DEPLOY / "patroni.yml").read_text())
CADDYFILE = (DEPLOY / "Caddyfile").read_text()
DATABASE_SQL = (DEPLOY / "database.sql").read_text()
UNITS = ("leads-service.service", "litestream.service")

with_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze"
)


def instructions(dockerfile: str = "Dockerfile") -> list[tuple[str, str]]:
    """Return a Dockerfile's instructions, each with what follows it."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / dockerfile).read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", "").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def instruction(name: str, dockerfile: str = "Dockerfile") -> str:
    """Return what follows the last instruction of this name."""
    return [rest for word, rest in instructions(dockerfile) if word == name][-1]


def image_environment() -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(instruction("ENV")))


class UnitParser(ConfigParser):
    """Reads names as they are written."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def unit(name: str) -> SectionProxy:
    parser = UnitParser(strict=False, interpolation=None, delimiters=("=",))
    parser.read(DEPLOY / name)
    return parser["Service"]


def unit_environment(service: SectionProxy) -> dict[str, str]:
    return dict(word.split("=", 1) for word in service["Environment"].split())


def options(words: list[str]) -> dict[str, Any]:
    """Return the options of ``leads-service serve``, which fails if it does not know one."""
    program, name, *arguments = words
    assert PurePosixPath(program).name == "leads-service"
    return commands.commands[name].make_context(name, arguments).params


def database(environment: dict[str, str]) -> PurePosixPath:
    return PurePosixPath(environment["LEADS_DATABASE"].removeprefix("sqlite:///"))


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Return a service's volumes and files, by the path they have in it."""
    volumes = (volume.split(":") for volume in service.get("volumes", ()))
    return {target: source for source, target, *_ in volumes}


def named(kind: str) -> dict[str, dict[str, Any]]:
    """Return the services of compose.postgresql.yaml with names such as ``kind``1."""
    return {name: SERVERS[name] for name in SERVERS if re.fullmatch(rf"{kind}\d", name)}


def seconds(span: str) -> int:
    return int(span.removesuffix("s"))


def test_the_image_is_made_of_what_exists() -> None:
    copied = [rest.split()[:-1] for word, rest in instructions() if word == "COPY"]
    sources = {word for words in copied if not words[0].startswith("--from") for word in words}
    assert sources
    assert all((ROOT / source).exists() for source in sources)
    sent = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{source}" for source in sources} == {line for line in sent if line.startswith("!")}


def test_the_image_serves_without_a_shell_and_without_root() -> None:
    serving = options(json.loads(instruction("CMD")))
    assert serving["host"] == "0.0.0.0"  # noqa: S104  # compared, not bound
    assert str(serving["port"]) == instruction("EXPOSE")
    assert int(instruction("USER").partition(":")[0]) > 0


def test_the_images_healthcheck(url: str) -> None:
    """It asks the service itself, whatever proxies and hosts the environment names."""
    python, *words = json.loads(instruction("HEALTHCHECK").partition(" CMD ")[2])
    assert python == "python"
    address = f"http://127.0.0.1:{instruction('EXPOSE')}"

    def check(base: str) -> int:
        return subprocess.run(
            [sys.executable, *(word.replace(address, base) for word in words)],
            env={"http_proxy": f"http://127.0.0.1:{free_port()}"},
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode

    with serve(url, LEADS_HOSTS="leads.example.com") as server:
        assert check(server.url) == 0
    assert check(f"http://127.0.0.1:{free_port()}") != 0


@pytest.mark.parametrize(
    "environment",
    [
        image_environment() | SERVICES["leads"]["environment"],
        image_environment() | SERVERS["leads1"]["environment"],
        unit_environment(unit("leads-service.service")),
    ],
    ids=["compose", "postgresql", "systemd"],
)
def test_the_settings(environment: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        name: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", str(value))  # where nothing else is set
        for name, value in environment.items()
        if name.startswith("LEADS_")
    }
    assert given.keys() <= config.SETTINGS.keys()
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    config.load()


def test_compose_publishes_the_proxy_alone() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    assert [name for name, service in SERVICES.items() if "inside" in service["networks"]] == [
        "leads",
        "proxy",
    ]
    assert COMPOSE["networks"]["inside"]["internal"]
    assert SERVICES["leads"]["networks"] == ["inside"]
    assert f"reverse_proxy {{$LEADS_UPSTREAMS:leads:{instruction('EXPOSE')}}} " in CADDYFILE
    assert SERVICES["leads"]["environment"]["LEADS_PROXY_HOPS"] == 1
    domain = SERVICES["proxy"]["environment"]["LEADS_DOMAIN"]
    assert SERVICES["leads"]["environment"]["LEADS_HOSTS"] == domain


def test_compose_confines_every_service() -> None:
    assert POSTGRESQL["x-confined"] == COMPOSE["x-confined"]
    for service in (*SERVICES.values(), *SERVERS.values()):
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("compose", [COMPOSE, POSTGRESQL], ids=["sqlite", "postgresql"])
def test_compose_refers_to_what_exists(compose: dict[str, Any]) -> None:
    services = compose["services"]
    volumes = set()
    for service in services.values():
        if build := service.get("build"):
            assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
        sources = set(mounts(service).values())
        volumes |= {source for source in sources if not (DEPLOY / source).is_file()}
        assert service.get("depends_on", {}).keys() <= services.keys()
    assert volumes == compose["volumes"].keys()


def test_both_composes_run_the_same_service_behind_the_same_proxy() -> None:
    def without(service: dict[str, Any], *names: str) -> dict[str, Any]:
        return {name: service[name] for name in service if name not in names}

    differing = ("environment", "networks", "volumes", "depends_on")
    for service in named("leads").values():
        assert without(service, *differing) == without(SERVICES["leads"], *differing)
        shared = SERVICES["leads"]["environment"].items()
        assert shared <= service["environment"].items()
    proxies = [SERVERS["proxy"], SERVICES["proxy"]]
    assert without(proxies[0], *differing[:1], "depends_on") == without(
        proxies[1], *differing[:1], "depends_on"
    )
    assert [name for name in SERVERS if "ports" in SERVERS[name]] == ["proxy"]


def test_the_proxy_sends_requests_to_every_instance_that_is_healthy(url: str) -> None:
    port = instruction("EXPOSE")
    upstreams = SERVERS["proxy"]["environment"]["LEADS_UPSTREAMS"].split()
    assert upstreams == [f"{name}:{port}" for name in named("leads")]
    path = first_match(r"health_uri (\S+)", CADDYFILE)
    host = first_match(r"health_headers \{\s+Host (\S+)", CADDYFILE)
    app = create_app({"LEADS_DATABASE": url, "LEADS_HOSTS": "leads.example.com"})
    client = app.test_client()
    assert client.get(path, headers={"Host": host}).status_code != 400
    assert client.get(path, headers={"Host": upstreams[0]}).status_code == 400


def test_the_service_knows_every_server() -> None:
    port = str(PATRONI["postgresql"]["listen"]).rpartition(":")[2]
    rest_port = PATRONI["restapi"]["listen"].rpartition(":")[2]
    servers = named("postgres")
    password = "${DATABASE_PASSWORD:?}"  # noqa: S105  # where it is
    for service in named("leads").values():
        address = urlsplit(service["environment"]["LEADS_DATABASE"])
        assert address.netloc.partition("@")[2].split(",") == list(servers)
        assert f"CREATE ROLE {address.username} LOGIN" in DATABASE_SQL
        assert f"CREATE DATABASE {address.path[1:]} OWNER {address.username} " in DATABASE_SQL
        assert service["environment"]["PGPASSWORD"] == password
    assert "\\getenv password DATABASE_PASSWORD" in DATABASE_SQL
    for name, service in servers.items():
        environment = service["environment"]
        assert environment["DATABASE_PASSWORD"] == password
        assert environment["PATRONI_NAME"] == name
        assert environment["PATRONI_POSTGRESQL_CONNECT_ADDRESS"] == f"{name}:{port}"
        assert environment["PATRONI_RESTAPI_CONNECT_ADDRESS"] == f"{name}:{rest_port}"
        members = [f"{member}:2379" for member in named("etcd")]
        assert environment["PATRONI_ETCD3_HOSTS"].split(",") == members
        where = mounts(service)
        (data,) = (target for target, source in where.items() if source == name)
        assert PurePosixPath(PATRONI["postgresql"]["data_dir"]).parent == PurePosixPath(data)
        assert instruction("CMD", "patroni.Dockerfile") == f'["{list(where)[1]}"]'
        assert f"--file {list(where)[2]} " in PATRONI["bootstrap"]["post_bootstrap"]
    exposed = instruction("EXPOSE", "patroni.Dockerfile").split()
    assert exposed == [port, rest_port]


def test_the_members_of_etcd_know_each_other() -> None:
    members = named("etcd")
    for name, service in members.items():
        environment = service["environment"]
        assert environment["ETCD_NAME"] == name
        assert environment["ETCD_DATA_DIR"] == next(iter(mounts(service)))
        assert environment["ETCD_ADVERTISE_CLIENT_URLS"] == f"http://{name}:2379"
        peers = [f"{member}=http://{member}:2380" for member in members]
        assert environment["ETCD_INITIAL_CLUSTER"].split(",") == peers
        own = f"{name}={environment['ETCD_INITIAL_ADVERTISE_PEER_URLS']}"
        assert own in peers


def test_a_password_is_in_no_file_and_in_no_address() -> None:
    for service in SERVERS.values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name:
                assert re.fullmatch(r"\$\{\w+_PASSWORD:\?\}", value), "it has to be given"
    networks = {name: set(service["networks"]) for name, service in SERVERS.items()}
    assert [name for name in networks if "outside" in networks[name]] == ["proxy"]
    assert networks["proxy"].isdisjoint(networks["postgres1"])
    assert networks["leads1"].isdisjoint(networks["etcd1"])
    assert [name for name in POSTGRESQL["networks"] if not POSTGRESQL["networks"][name]] == [
        "outside"
    ]


def test_a_commit_is_acknowledged_when_two_of_three_servers_have_it() -> None:
    settings = PATRONI["bootstrap"]["dcs"]
    assert settings["synchronous_mode"] == "quorum"
    assert settings["synchronous_mode_strict"]
    assert settings["synchronous_node_count"] == 1
    # Patroni's own conditions, outside which it corrects them.
    assert settings["ttl"] >= 20
    assert settings["ttl"] >= settings["loop_wait"] + 2 * settings["retry_timeout"]


def test_the_images_have_the_driver_of_postgresql() -> None:
    pinned = (ROOT / ".ci" / "constraints.txt").read_text().split()
    (driver,) = (line for line in pinned if line.startswith("psycopg=="))
    assert driver.replace("psycopg", "psycopg[binary]") in instruction("RUN", "patroni.Dockerfile")
    installed = next(rest for word, rest in instructions() if word == "RUN")
    assert "[server,postgresql]" in installed


def test_compose_replicates_the_database_of_the_service() -> None:
    path = database(image_environment())
    volume = mounts(SERVICES["leads"])[str(path.parent)]
    for name in ("restore", "litestream"):
        service = SERVICES[name]
        assert service["environment"]["LITESTREAM_DB"] == str(path)
        assert mounts(service)[str(path.parent)] == volume
        assert service["user"] == instruction("USER")
    assert SERVICES["restore"]["command"][-1] == str(path)
    assert SERVICES["prepare"]["entrypoint"][:2] == ["chown", instruction("USER")]


def test_a_stop_waits_for_the_requests_in_flight() -> None:
    assert seconds(SERVICES["leads"]["stop_grace_period"]) > STOP_TIMEOUT
    assert seconds(unit("leads-service.service")["TimeoutStopSec"]) > STOP_TIMEOUT


def test_every_worker_may_open_a_file_for_each_connection() -> None:
    files = int(unit("leads-service.service")["LimitNOFILE"])
    assert files >= MAX_CONNECTIONS + RESERVED_FILES


def test_the_proxy_hangs_up_first() -> None:
    """Otherwise it might send a request just when the service hangs up."""
    idle = options(["leads-service", "serve"])["idle_timeout"]
    assert seconds(first_match(r"\bkeepalive (\w+)", CADDYFILE)) < idle


def test_the_firewall_counts_connections_to_the_proxy() -> None:
    rules = (DEPLOY / "connections.nft").read_text()
    published = {port.partition(":")[0] for port in SERVICES["proxy"]["ports"]}
    counted = re.findall(r"tcp dport \{ (.+?) \} .* ct count over", rules)
    assert [set(ports.split(", ")) for ports in counted] == [published, published]


def proxys_words(status: int) -> dict[str, Any]:
    """Return what the proxy answers itself with a status."""
    block = first_match(rf"handle_errors {status} \{{\n(.+?)\n\t\}}", CADDYFILE)
    words: dict[str, Any] = json.loads(first_match("respond `(.+?)`", block))
    return words


def test_the_proxy_says_that_nothing_is_there_in_the_services_words(tmp_path: Path) -> None:
    app = create_app({"LEADS_DATABASE": f"sqlite:///{tmp_path / 'leads.db'}"})
    state_of(app).storage.dispose()
    (tmp_path / "leads.db").unlink()
    (tmp_path / "leads.db").mkdir()
    answer = app.test_client().get("/healthz")
    assert answer.status_code == 503
    assert proxys_words(503) == answer.get_json()
    assert f"header Retry-After {answer.headers['Retry-After']}\n" in CADDYFILE


def test_the_proxy_refuses_what_the_service_would_in_its_words(alice: Caller) -> None:
    answer = alice.client.post(
        "/v1/leads", data=b" " * (MAX_BODY + 1), content_type="application/json"
    )
    assert answer.status_code == 413
    assert proxys_words(413) == answer.get_json()
    assert f"> {MAX_BODY}`" in CADDYFILE
    assert f"max_size {MAX_BODY // 1024}KiB" in CADDYFILE


def test_the_unit_serves_from_its_own_folder() -> None:
    service = unit("leads-service.service")
    assert options(shlex.split(service["ExecStart"]))["host"] == "127.0.0.1"
    path = database(unit_environment(service))
    assert path.parent == PurePosixPath("/var/lib") / service["StateDirectory"]
    replicating = unit("litestream.service")
    assert unit_environment(replicating)["LITESTREAM_DB"] == str(path)
    assert replicating["User"] == service["User"] != "root"
    folders = {f"/var/lib/{name}" for name in replicating["StateDirectory"].split()}
    replica = unit_environment(replicating)["LITESTREAM_REPLICA"]
    assert {str(path.parent), replica.removeprefix("file://")} == folders


@pytest.mark.parametrize("name", UNITS)
def test_the_units_keep_what_they_have_to_themselves(name: str) -> None:
    service = unit(name)
    assert service["ProtectSystem"] == "strict"  # all is read-only but the folders of its own
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert (service["StateDirectoryMode"], service["UMask"]) == ("0700", "0077")


@with_systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_knows_the_units(name: str, tmp_path: Path) -> None:
    """And finds little that they would leave open: 0 is best, 10 worst, what is shown ten times."""
    text = (DEPLOY / name).read_text()
    # It asks for the programs.
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={BIN / 'python'}", text, flags=re.MULTILINE)
    (tmp_path / name).write_text(text)
    for check in (["verify"], ["security", "--offline=true", "--threshold=20"]):
        process = subprocess.run(
            ["systemd-analyze", "--no-pager", *check, tmp_path / name],
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stdout + process.stderr
        assert name not in process.stderr  # an unknown key is but a warning
