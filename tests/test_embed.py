"""The leads as a part of another application, which stays what it is."""

import re
from collections.abc import Callable, Iterator
from threading import Barrier, Thread
from typing import Any
from uuid import UUID

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from conftest import APART, APPLIED, ROOT, open_files
from flask import Flask, abort, g, jsonify, make_response, request, session
from flask.json.provider import DefaultJSONProvider
from flask_smorest import Api, Blueprint
from flask_wtf.csrf import CSRFProtect
from peewee import CharField, DatabaseProxy, Model, OperationalError, SqliteDatabase
from scorers import by_notes, raises
from sqlalchemy import Column, Integer, MetaData, Table, create_engine
from werkzeug.exceptions import Unauthorized

from leads_service import create_app, init_app
from leads_service.exceptions import ConfigError, StorageUnusableError
from leads_service.storage.sqlite.database import MAX_IDLE_CONNECTIONS

README = (ROOT / "README.md").read_text()
LEADS = "/crm/v1/leads"
SMOREST = {"API_TITLE": "Host", "API_VERSION": "1", "OPENAPI_VERSION": "3.1.0"}
DOCUMENTED = SMOREST | {"OPENAPI_URL_PREFIX": "/", "OPENAPI_JSON_PATH": "openapi.json"}


class NotLoggedInError(Exception):
    """What a host may raise for strangers."""


class AiryProvider(DefaultJSONProvider):
    """A host's JSON provider."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return super().dumps(obj, **(kwargs | {"separators": (" , ", " : ")}))


def user_id() -> int | None:
    return session.get("user")


@pytest.fixture
def database(tmp_path: Any) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(str(tmp_path / "host.db"))
    yield database
    database.close()


@pytest.fixture(params=[False, True], ids=["without Api", "with Api"])
def host(request: pytest.FixtureRequest, database: SqliteDatabase) -> Flask:
    """A host with everything of its own: pages, errors, login, database, commands, JSON."""
    app = Flask("host")
    app.config.update(DOCUMENTED, SECRET_KEY="x" * 32)
    app.json = AiryProvider(app)
    api = Api(app) if request.param else None

    class Visit(Model):
        path = CharField()

        class Meta:
            database_ = database
            table_name = "visit"

    Visit.bind(database)
    database.create_tables([Visit])
    database.close()

    @app.before_request
    def open_database() -> None:
        database.connect()  # raises OperationalError if somebody has left it open
        g.seen = ["before"]

    @app.teardown_request
    def close_database(_: BaseException | None) -> None:
        assert not database.is_closed(), "what the host opened is the host's to close"
        database.close()

    @app.after_request
    def count(response: Any) -> Any:
        Visit.create(path=request_path())
        response.headers["X-Visits"] = str(Visit.select().count())
        return response

    @app.errorhandler(404)
    def no_page(_: Exception) -> tuple[str, int]:
        return "<h1>the host's own page</h1>", 404

    @app.errorhandler(NotLoggedInError)
    def login(_: Exception) -> tuple[str, int]:
        return "log in here", 418

    @app.get("/")
    def home() -> Any:
        return jsonify(hello="you")

    @app.get("/fails")
    def fails() -> Any:
        raise RuntimeError("a mistake of the host's")

    @app.get("/login/<int:user>")
    def log_in(user: int) -> str:
        session["user"] = user
        return "welcome"

    @app.cli.command("greet")
    def greet() -> None:
        print("hello")

    before = {rule.rule for rule in app.url_map.iter_rules()}
    init_app(app, user_id=user_id, database=database, api=api, url_prefix="/crm/v1")
    ours = {rule.rule for rule in app.url_map.iter_rules()} - before
    assert ours == {LEADS, f"{LEADS}/<leads_service_id:lead_id>"}, "no page that was not asked for"
    return app


def request_path() -> str:
    return str(request.path)


def test_leads_of_the_hosts_users(host: Flask) -> None:
    alice, bob, nobody = (host.test_client() for _ in range(3))
    alice.get("/login/7")
    bob.get("/login/8")
    made = alice.post(LEADS, json={"company_id": 1})
    assert made.status_code == 201
    assert made.headers["Location"] == f"http://localhost{LEADS}/1"
    assert made.headers["X-Request-ID"]
    assert made.json["user_id"] == 7
    assert alice.get(LEADS).json["data"] == [made.json]
    assert bob.get(LEADS).json["data"] == []
    assert bob.patch(f"{LEADS}/1", json={"status": "lost"}).status_code == 404
    assert alice.patch(f"{LEADS}/1", json={"status": "lost"}).json["status"] == "lost"
    refused = nobody.get(LEADS)
    assert (refused.status_code, refused.json["message"]) == (401, "Log in first.")
    assert "WWW-Authenticate" not in refused.headers


def test_our_errors_are_ours(host: Flask) -> None:
    client = host.test_client()
    client.get("/login/7")
    answer = client.get(f"{LEADS}?statsu=new", headers={"X-Request-ID": "mine"})
    assert answer.json["errors"] == {"query": {"statsu": ["Unknown field."]}}
    assert answer.headers["X-Request-ID"] == "mine"
    assert client.patch(f"{LEADS}/9", json={}).json["code"] == 404
    assert client.post(LEADS, data="{").json["code"] == 415


def test_the_host_keeps_its_pages_errors_and_json(host: Flask) -> None:
    client = host.test_client()
    assert client.get("/").text == '{"hello" : "you"}\n'
    assert client.get("/no/such/page").text == "<h1>the host's own page</h1>"
    assert client.get("/crm/v1/nothing").text == "<h1>the host's own page</h1>"
    assert client.get("/fails").status_code == 500
    assert "X-Request-ID" not in client.get("/").headers


def test_the_hosts_hooks_run_for_leads_too(host: Flask) -> None:
    client = host.test_client()
    visits = [client.get(LEADS).headers["X-Visits"] for _ in range(3)]
    assert visits == ["1", "2", "3"]


@pytest.mark.parametrize("where", ["user_id", "before_request"])
def test_the_host_answers_its_own_exceptions(
    database: SqliteDatabase, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise NotLoggedInError

    app = Flask("host")
    if where == "before_request":
        app.before_request(refuse)
    app.register_error_handler(NotLoggedInError, lambda error: ("log in here", 418))
    init_app(app, user_id=refuse, database=database)
    answer = app.test_client().get("/v1/leads")
    assert (answer.status_code, answer.text) == (418, "log in here")


def test_an_abort_before_it_is_our_turn(database: SqliteDatabase) -> None:
    app = Flask("host")
    app.before_request(lambda: abort(403, "members only"))
    init_app(app, user_id=lambda: 1, database=database)
    assert app.test_client().get("/v1/leads").json["message"] == "members only"


def test_the_hosts_commands_stay(host: Flask) -> None:
    runner = host.test_cli_runner()
    assert runner.invoke(args=["greet"]).output == "hello\n"
    status = runner.invoke(args=["leads", "db", "status"]).output
    assert "\nschema: up to date\n" in status
    commands = host.cli.commands["leads"].commands
    assert commands.keys() == {"db", "pipeline", "rescore", "reassign", "import", "export"}


def test_a_command_of_the_hosts_of_the_same_name(database: SqliteDatabase) -> None:
    app = Flask("host")
    app.cli.command("leads")(lambda: print("the host's"))
    init_app(app, user_id=lambda: 1, database=database)
    runner = app.test_cli_runner()
    assert runner.invoke(args=["leads"]).output == "the host's\n"
    assert "Conversion rate" in runner.invoke(args=["leads-service", "pipeline"]).output


def test_files_for_the_hosts_users(host: Flask) -> None:
    runner = host.test_cli_runner()
    words = ["leads", "import", "-", "--format", "csv", "--user"]
    assert runner.invoke(args=[*words, "7"], input="company_id\n5\n").exit_code == 0
    assert "no user's id" in runner.invoke(args=[*words, "alice"], input="company_id\n").output
    client = host.test_client()
    client.get("/login/7")
    assert [lead["company_id"] for lead in client.get(LEADS).json["data"]] == [5]


def test_commands_leave_the_schema_to_a_host_that_migrates_itself(
    database: SqliteDatabase,
) -> None:
    app = Flask("host")
    init_app(app, user_id=lambda: 1, database=database, migrate=False)
    runner = app.test_cli_runner()
    result = runner.invoke(args=["leads", "pipeline"])
    assert result.exit_code == 1
    assert "the schema is not up to date; run: flask leads db migrate" in result.output
    assert database.get_tables() == []
    database.close()
    assert runner.invoke(args=["leads", "db", "migrate"]).exit_code == 0
    assert runner.invoke(args=["leads", "pipeline"]).exit_code == 0


def test_the_hosts_document(database: SqliteDatabase) -> None:
    app = Flask("host")
    app.config.update(DOCUMENTED)
    api = Api(app)
    blp = Blueprint("things", "things", url_prefix="/things")

    @blp.get("/")
    def things() -> Any:
        """Say what things there are."""

    api.register_blueprint(blp)
    init_app(app, user_id=lambda: 1, database=database, api=api, url_prefix="/crm/v1")
    document = app.test_client().get("/openapi.json").json
    assert document["paths"].keys() == {"/things/", LEADS, f"{LEADS}/{{lead_id}}"}
    assert "security" not in document["paths"][LEADS]["get"]
    assert "securitySchemes" not in document["components"]
    assert document["info"]["title"] == "Host"
    assert app.test_client().get("/v1/nothing").json == {"code": 404, "status": "Not Found"}


def test_tokens_of_ours_in_a_host(database: SqliteDatabase) -> None:
    app = Flask("host")
    app.config.update(DOCUMENTED)
    api = Api(app)
    init_app(app, database=database, api=api)
    runner = app.test_cli_runner(**APART)
    runner.invoke(args=["leads", "user", "add", "alice"])
    token = runner.invoke(args=["leads", "token", "create", "alice"]).stdout.strip()
    client = app.test_client()
    assert client.get("/v1/leads").status_code == 401
    assert client.get("/v1/leads", headers={"Authorization": f"Bearer {token}"}).json["data"] == []
    document = client.get("/openapi.json").json
    assert document["paths"]["/v1/leads"]["get"]["security"] == [{"leadsToken": []}]
    assert document["components"]["securitySchemes"].keys() == {"leadsToken"}
    assert "`flask leads token create NAME`" in str(document["components"]["securitySchemes"])


@pytest.mark.skipif("TRUSTED_HOSTS" not in Flask.default_config, reason="Flask 3.0 has none")
def test_hosts_that_the_host_does_not_trust(host: Flask) -> None:
    client = host.test_client()
    client.get("/login/7")
    host.config["TRUSTED_HOSTS"] = ["localhost"]
    for path in (LEADS, "/"):
        refused = client.post(path, json={"company_id": 1}, headers={"Host": "evil.test"})
        assert refused.status_code == 400
    assert client.post(LEADS, json={"company_id": 1}).json["id"] == 1, "nothing was stored before"


def test_a_connection_that_the_host_keeps_open(database: SqliteDatabase) -> None:
    app = Flask("host")
    database.connect()
    init_app(app, user_id=lambda: 1, database=database)
    assert not database.is_closed()
    connection = database.connection()
    with database.atomic() as transaction:
        assert app.test_client().post("/v1/leads", json={"company_id": 1}).status_code == 201
        transaction.rollback()
    assert app.test_client().get("/v1/leads").json["data"] == []
    assert database.connection() is connection


def test_a_connection_that_nobody_has_opened(database: SqliteDatabase) -> None:
    app = Flask("host")
    init_app(app, user_id=lambda: 1, database=database)
    assert database.is_closed()
    app.test_client().post("/v1/leads", json={"company_id": 1})
    assert database.is_closed()


def test_the_hosts_file_keeps_its_settings(database: SqliteDatabase) -> None:
    init_app(Flask("host"), user_id=lambda: 1, database=database)
    assert database.pragma("journal_mode") == "delete"
    tables = set(database.get_tables()) - {"sqlite_sequence"}
    assert tables == {
        "leads_deleted",
        "leads_idempotency",
        "leads_lead",
        "leads_migration",
        "leads_token",
        "leads_user",
    }


def test_a_database_that_does_not_open_itself(tmp_path: Any) -> None:
    database = SqliteDatabase(str(tmp_path / "host.db"), autoconnect=False)
    app = Flask("host")
    init_app(app, user_id=lambda: 1, database=database)
    assert app.test_client().post("/v1/leads", json={"company_id": 1}).status_code == 201


def test_a_proxy_and_memory() -> None:
    proxy = DatabaseProxy()
    proxy.initialize(SqliteDatabase(":memory:"))
    proxy.connect()
    app = Flask("host")
    init_app(app, user_id=lambda: 1, database=proxy)
    assert app.test_client().post("/v1/leads", json={"company_id": 1}).status_code == 201
    proxy.close()


@pytest.mark.parametrize("options", [{}, {"thread_safe": False}, {"autoconnect": False}], ids=str)
def test_memory_that_would_be_lost(options: dict[str, bool]) -> None:
    database = SqliteDatabase(":memory:", **options)
    app = Flask("host")
    with pytest.raises(ValueError, match="open it before init_app and keep it open") as caught:
        init_app(app, user_id=lambda: 1, database=database)
    assert "\n" not in str(caught.value)
    database.connect()  # which is closed, as it was
    init_app(app, user_id=lambda: 1, database=database)
    client = app.test_client()
    assert client.post("/v1/leads", json={"company_id": 1}).status_code == 201
    assert len(client.get("/v1/leads").json["data"]) == 1
    database.close()


def test_a_locked_database_of_the_hosts(database: SqliteDatabase, tmp_path: Any) -> None:
    app = Flask("host")
    database.timeout = 0
    init_app(app, user_id=lambda: 1, database=database)
    other = SqliteDatabase(str(tmp_path / "host.db"))
    with other.atomic("EXCLUSIVE"):
        answer = app.test_client().post("/v1/leads", json={"company_id": 1})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        with pytest.raises(OperationalError):
            database.execute_sql("SELECT * FROM leads_lead")
    other.close()
    assert app.test_client().post("/v1/leads", json={"company_id": 1}).status_code == 201


def test_csrf_protection_of_the_hosts(database: SqliteDatabase) -> None:
    """With the README's line; a name instead of the blueprint would exempt nothing."""
    (line,) = re.findall(r"^csrf\.exempt.*", README, re.MULTILINE)
    app = Flask("host")
    app.secret_key = "x" * 32
    app.post("/form")(lambda: "stored")
    csrf = CSRFProtect(app)
    init_app(app, user_id=lambda: 1, database=database, url_prefix="/crm/v1")
    client = app.test_client()
    assert client.post(LEADS, json={"company_id": 1}).status_code == 400
    eval(line, {"app": app, "csrf": csrf})  # noqa: S307
    assert client.post(LEADS, json={"company_id": 1}).status_code == 201
    assert client.patch(f"{LEADS}/1", json={"status": "lost"}).status_code == 200
    assert client.delete(f"{LEADS}/1").status_code == 204
    assert client.post("/form").status_code == 400


def test_a_hosts_file_under_alembic(database: SqliteDatabase) -> None:
    """With the README's function it leaves our tables alone; without it would drop them."""
    (recipe,) = re.findall(r"```python\n(def include_object.*?)```", README, re.DOTALL)
    exec(recipe, defined := {})  # noqa: S102
    init_app(Flask("host"), user_id=lambda: 1, database=database)
    hosts = MetaData()
    Table("employee", hosts, Column("id", Integer, primary_key=True))

    def differences(**options: Any) -> set[tuple[str, str]]:
        with create_engine(f"sqlite:///{database.database}").connect() as connection:
            context = MigrationContext.configure(connection, opts=options)
            return {(what, on.name) for what, on in compare_metadata(context, hosts)}

    assert ("remove_table", "leads_lead") in differences()
    assert differences(include_object=defined["include_object"]) == {("add_table", "employee")}


def test_a_url_and_settings_of_the_hosts(tmp_path: Any) -> None:
    app = Flask("host", instance_path=str(tmp_path / "instance"))
    app.config["LEADS_SCORER"] = "scorers:by_notes"
    init_app(app, user_id=lambda: 1, url_prefix="/a/b", database=f"sqlite:///{tmp_path}/x.db")
    answer = app.test_client().post("/a/b/leads", json={"company_id": 1, "notes": "123"})
    assert answer.json["score"] == 3
    assert (tmp_path / "x.db").is_file()
    app = Flask("host", instance_path=str(tmp_path / "instance"))
    init_app(app, user_id=lambda: 1, url_prefix="", scorer=by_notes)
    assert (tmp_path / "instance" / "leads.db").is_file()
    answer = app.test_client().post("/leads", json={"company_id": 1, "notes": "12"})
    assert answer.json["score"] == 2


def test_two_hosts_in_one_process(tmp_path: Any) -> None:
    apps = [Flask("host"), Flask("host"), None]
    for number, app in enumerate(apps[:2]):
        url = f"sqlite:///{tmp_path}/{number}.db"
        init_app(app, user_id=lambda: 1, database=url, url_prefix=f"/{number}")
    apps[2] = create_app({"LEADS_DATABASE": f"sqlite:///{tmp_path}/2.db"})
    for number in range(2):
        client = apps[number].test_client()
        for _ in range(number + 1):
            client.post(f"/{number}/leads", json={"company_id": 1})
        assert len(client.get(f"/{number}/leads").json["data"]) == number + 1
    assert apps[2].test_client().get("/v1/leads").status_code == 401


def test_mistakes_are_the_hosts_to_see(
    database: SqliteDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask("host")
    init_app(app, user_id=lambda: 7, database=database, scorer=raises)
    answer = app.test_client().post("/v1/leads", json={"company_id": 1})
    assert answer.status_code == 500
    assert answer.headers["X-Request-ID"] in answer.json["message"]
    assert answer.headers["X-Request-ID"] in caplog.text
    assert "secret internals" in caplog.text


@pytest.mark.parametrize("user", [5, 0, -7, 2**63 - 1])
def test_an_id_that_comes_as_text(database: SqliteDatabase, user: int) -> None:
    """As Flask-Login's get_id() has it."""
    app = Flask("host")
    init_app(app, user_id=lambda: str(user), database=database)
    made = app.test_client().post("/v1/leads", json={"company_id": 1})
    assert made.json["user_id"] == user


@pytest.mark.parametrize(
    "found",
    [
        *("", "ada", "05", "+5", " 5", "5.0", "\u0665", str(2**63), str(UUID(int=5))),
        *(2**63, True, 5.0, b"5", UUID(int=5)),
    ],
    ids=repr,
)
def test_an_id_that_is_no_integer(
    database: SqliteDatabase, found: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask("host")
    init_app(app, user_id=lambda: found, database=database)
    answer = app.test_client().get("/v1/leads")
    assert (answer.status_code, answer.json["code"]) == (500, 500)
    assert repr(found) not in answer.text
    assert f"user_id returned {found!r}, but leads belong to integers of 64 bits" in caplog.text
    assert "a number that you keep for each user" in caplog.text


@pytest.mark.parametrize(
    "nobody", [lambda: None, lambda: g.user.id, lambda: session["id"], lambda: g.get("user")["id"]]
)
def test_nobody(database: SqliteDatabase, nobody: Callable[[], Any]) -> None:
    app = Flask("host")
    init_app(app, user_id=nobody, database=database)
    assert app.test_client().get("/v1/leads").status_code == 401


def test_tables_that_are_not_made_at_the_start(database: SqliteDatabase) -> None:
    app = Flask("host")
    init_app(app, user_id=lambda: 1, database=database, migrate=False)
    assert database.get_tables() == []
    assert app.test_client().get("/v1/leads").status_code == 503
    runner = app.test_cli_runner()
    assert runner.invoke(args=["leads", "db", "migrate"]).output == APPLIED
    assert app.test_client().get("/v1/leads").json["data"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"user_id": 7}, "user_id must be a plain function"),
        ({"database": 7}, "database must be a Peewee SqliteDatabase"),
        ({"database": SqliteDatabase(None)}, "that knows its file"),
        ({"database": DatabaseProxy()}, "database must be a Peewee SqliteDatabase"),
        ({"database": "leads.db"}, "LEADS_DATABASE must be sqlite:///"),
        ({"database": ""}, "LEADS_DATABASE must be sqlite:///"),
        ({"scorer": 50}, "scorer must be a function"),
        ({"api": "/api"}, "api must be a flask_smorest.Api"),
        ({"api": Api()}, "api must be a flask_smorest.Api of this application"),
        ({"url_prefix": "v1"}, "url_prefix must be a path"),
        ({"url_prefix": "/v1/"}, "url_prefix must be a path"),
        ({"url_prefix": "/<tenant>"}, "url_prefix must be a path"),
        ({"url_prefix": None}, "url_prefix must be a path"),
    ],
    ids=lambda argument: argument if isinstance(argument, str) else None,
)
def test_wrong_arguments_fail_at_once(arguments: dict[str, Any], message: str) -> None:
    app = Flask("host")
    before = dict(app.extensions)
    with pytest.raises((TypeError, ValueError, ConfigError), match=message) as caught:
        init_app(app, **arguments)
    assert "\n" not in str(caught.value)
    assert app.extensions == before


def test_other_wrong_calls(database: SqliteDatabase) -> None:
    with pytest.raises(TypeError, match="app must be a Flask application"):
        init_app("host")  # type: ignore[arg-type]
    app = Flask("host")
    init_app(app, database=database)
    with pytest.raises(ValueError, match="has leads already"):
        init_app(app, database=database)
    app = Flask("host")
    app.config.update(SMOREST | {"OPENAPI_VERSION": "2.0"})
    with pytest.raises(ValueError, match="OpenAPI 3"):
        init_app(app, database=database, api=Api(app))


def test_a_lead_that_was_stored_is_not_denied(database: SqliteDatabase) -> None:
    def fail(_: Any) -> Any:
        raise OperationalError("the host's own audit log is locked")

    app = Flask("host")
    init_app(app, user_id=lambda: 1, database=database)
    app.after_request(fail)
    answer = app.test_client().post("/v1/leads", json={"company_id": 1})
    assert answer.status_code == 500
    assert "nothing was stored" not in answer.text


class LoginNeededError(Unauthorized):
    """What a host may answer with a redirect."""


def need_login() -> None:
    raise LoginNeededError


def complete() -> None:
    abort(401, response=make_response("custom", 401))


@pytest.mark.parametrize(
    ("user_id", "status", "text"), [(need_login, 302, ""), (complete, 401, "custom")]
)
def test_the_hosts_ways_to_refuse(
    database: SqliteDatabase, user_id: Callable[[], None], status: int, text: str
) -> None:
    app = Flask("host")
    app.register_error_handler(LoginNeededError, lambda error: ("", 302, {"Location": "/login"}))
    init_app(app, user_id=user_id, database=database)
    answer = app.test_client().get("/v1/leads")
    assert (answer.status_code, answer.text) == (status, text)


def test_the_host_looks_for_the_caller_itself(tmp_path: Any) -> None:
    database = SqliteDatabase(str(tmp_path / "host.db"), autoconnect=False)

    def look() -> int:
        with database.connection_context():
            return 1

    app = Flask("host")
    init_app(app, user_id=look, database=database)
    assert app.test_client().post("/v1/leads", json={"company_id": 1}).status_code == 201


def test_a_transaction_that_the_host_began_by_hand(database: SqliteDatabase) -> None:
    app = Flask("host")
    init_app(app, user_id=lambda: 1, database=database)
    database.connect()
    database.execute_sql("BEGIN")
    assert app.test_client().post("/v1/leads", json={"company_id": 1}).status_code == 201
    database.execute_sql("COMMIT")
    assert len(app.test_client().get("/v1/leads").json["data"]) == 1


def test_threads_leave_no_connection_open(tmp_path: Any) -> None:
    """One after the other they share a connection; of many at once some stay for the next ones."""
    app = Flask("host", instance_path=str(tmp_path))
    init_app(app, user_id=lambda: 1, database=f"sqlite:///{tmp_path}/x.db")
    all_write = Barrier(40)

    def post(wait: Callable[[], object]) -> None:
        with app.app_context():
            wait()
            answer = app.test_client().post("/v1/leads", json={"company_id": 1})
            assert answer.status_code == 201

    def run(count: int, wait: Callable[[], object]) -> tuple[int, int]:
        threads = [Thread(target=post, args=[wait]) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        files = open_files()
        return files.count(f"{tmp_path}/x.db"), files.count(f"{tmp_path}/x.db-wal")

    # One connection, one of the database's own, and the log's descriptor to flush.
    assert [run(1, lambda: None) for _ in range(5)] == [(2, 3)] * 5
    for _ in range(3):
        files, logs = run(40, all_write.wait)
        # SQLite keeps a closed file's descriptor for the next connection, while others have locks.
        assert files <= 41
        assert logs <= MAX_IDLE_CONNECTIONS + 2
    assert app.test_client().get("/v1/leads").json["data"][0]["id"] == 125


def test_a_file_of_ours_that_is_not_in_wal_mode(tmp_path: Any) -> None:
    app = Flask("host", instance_path=str(tmp_path))
    init_app(app, user_id=lambda: 1, database=f"sqlite:///{tmp_path}/x.db")
    other = SqliteDatabase(f"{tmp_path}/x.db")
    other.pragma("journal_mode", "delete")
    other.close()
    assert app.test_client().post("/v1/leads", json={"company_id": 1}).status_code == 201


def test_the_hosts_limit_on_bodies(database: SqliteDatabase) -> None:
    app = Flask("host")
    app.config["MAX_CONTENT_LENGTH"] = 100
    init_app(app, user_id=lambda: 1, database=database)
    client = app.test_client()
    answer = client.post("/v1/leads", json={"company_id": 1, "notes": "a" * 100})
    assert (answer.status_code, answer.json["message"]) == (
        413,
        "The body is larger than 100 bytes.",
    )
    assert client.post("/v1/leads", json={"company_id": 1}).status_code == 201


def test_no_body_where_there_is_none(database: SqliteDatabase) -> None:
    app = Flask("host")

    @app.after_request
    def tag(response: Any) -> Any:
        response.add_etag()
        return response.make_conditional(request)

    init_app(app, user_id=lambda: 1, database=database)
    client = app.test_client()
    etag = client.get("/v1/leads").headers["ETag"]
    answer = client.get("/v1/leads", headers={"If-None-Match": etag})
    assert (answer.status_code, answer.data) == (304, b"")


def test_an_address_with_a_slash_too_many(database: SqliteDatabase) -> None:
    app = Flask("host")
    app.url_map.strict_slashes = False
    init_app(app, user_id=lambda: 1, database=database)
    answer = app.test_client().post("/v1/leads/", json={"company_id": 1})
    assert answer.headers["Location"] == "http://localhost/v1/leads/1"


def test_the_locked_file_of_a_host_is_waited_for_as_long_as_the_host_does(tmp_path: Any) -> None:
    database = SqliteDatabase(str(tmp_path / "host.db"), timeout=0)
    other = SqliteDatabase(str(tmp_path / "host.db"))
    with other.atomic("EXCLUSIVE"), pytest.raises(StorageUnusableError, match="locked"):
        init_app(Flask("host"), user_id=lambda: 1, database=database)
    other.close()


@pytest.mark.parametrize("name", ["x", "99999999999999999999999", " 7", "\u0663"])
def test_ids_that_are_none(host: Flask, name: str) -> None:
    result = host.test_cli_runner().invoke(args=["leads", "pipeline", "--user", name])
    assert (result.exit_code, result.output) == (
        1,
        f"Error: {name!r} is no user's id; users are known by their integer ids\n",
    )


def test_remedies_name_the_hosts_program(database: SqliteDatabase) -> None:
    app = Flask("host")
    init_app(app, database=database)
    result = app.test_cli_runner().invoke(args=["leads", "token", "create", "bob"])
    assert "add one with: flask leads user add bob" in result.output
