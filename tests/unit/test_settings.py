"""Settings come from a mapping, and all their mistakes are told at once."""

import base64
from pathlib import Path

import pytest
from pydantic import ValidationError

from slack_mcp.core.errors import SettingsError
from slack_mcp.core.model import AgentBackend
from slack_mcp.core.secret import Secret
from slack_mcp.settings import Settings
from slack_mcp.settings.kinds import get_extra, get_name, is_secret

KEY = "k1:" + base64.b64encode(b"k" * 32).decode()
PG = "postgresql://u:canary@h/d"
SECRETS = {
    "DATABASE_URL": PG,
    "DATABASE_LISTEN_URL": PG,
    "REDIS_URL": "redis://u:canary@h",
    "ENCRYPTION_KEYS": KEY,
    "AUTH_TOKEN": "canary" * 5,
    "METRICS_TOKEN": "canary" * 5,
    "MESH_JWT_SECRET": "canary",
    "SLACK_SIGNING_SECRET": "canary",
    "SLACK_BOT_TOKEN": "xoxb-canary",
    "SLACK_USER_TOKEN": "xoxp-canary",
    "SLACK_CLIENT_SECRET": "canary",
    "SLACK_REFRESH_TOKEN": "canary",
    "OPENAI_API_KEY": "canary",
    "TRANSCRIPTION_API_KEY": "canary",
    "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=canary",
}


def read(**environ: str) -> Settings:
    return Settings.from_env(environ, dotenv=None)


def problems_of(**environ: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        read(**environ)
    return caught.value.problems


def test_nothing_needs_to_be_set() -> None:
    settings = read()
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8080, 1)
    assert settings.database.sqlite_path == Path("data/slack.db")
    assert settings.database.is_default
    assert settings.notices == ("DATABASE_URL is not set: using SQLite data/slack.db.",)
    assert settings.slack_api_url == "https://slack.com/api/"
    assert settings.default_agent is None
    assert settings.key_ring is None


def test_values_are_read_with_their_types() -> None:
    settings = read(
        PORT="0",
        LOG_LEVEL="DEBUG",
        DATA_DIR="/srv/x",
        DATABASE_PREPARED_STATEMENTS="false",
        MCP_ALLOWED_HOSTS="a.example, b.example:8080,",
        MESH_ALLOWED_URLS="https://mesh.example/",
        SLACK_API_URL="http://127.0.0.1:9/api",
        DEFAULT_AGENT="echo",
        SLACK_MCP_LEASE_S="2.5",
        SLACK_MCP_LEASE_RENEW_S="1",
        ENCRYPTION_KEYS=KEY,
    )
    assert settings.port == 0
    assert settings.log_level == "debug"
    assert settings.database.sqlite_path == Path("/srv/x/slack.db")
    assert settings.database_prepared_statements is False
    assert settings.mcp_allowed_hosts == ("a.example", "b.example:8080")
    assert settings.mesh_allowed_urls == ("https://mesh.example",)
    assert settings.slack_api_url == "http://127.0.0.1:9/api/"
    assert settings.default_agent is AgentBackend.ECHO
    assert settings.lease_s == 2.5
    assert settings.key_ring is not None
    assert settings.key_ring.active_key_id == "k1"


def test_all_mistakes_are_told_at_once() -> None:
    problems = problems_of(
        PORT="abc",
        WORKERS="0",
        LOG_LEVEL="loud",
        PUBLIC_URL="ftp://x",
        DATABASE_URL="mysql://u:canary@h/d",
        DATABASE_PREPARED_STATEMENTS="perhaps",
        DEFAULT_AGENT="openai",
        ENCRYPTION_KEYS="a:b,a",
        AUTH_TOKEN="canary",
        SLACK_MCP_POLL_S="inf",
        SLACK_MCP_LEASE_RENEW_S="9",
        SLACK_MCP_LEAS_S="1",
        MESH_JWT_SECRET_FILE="/does/not/exist",
    )
    expected = {
        "SLACK_MCP_LEAS_S is not a setting; did you mean SLACK_MCP_LEASE_S?",
        "MESH_JWT_SECRET_FILE: /does/not/exist cannot be read (No such file or directory).",
        "PORT must be a whole number from 0 to 65535, not 'abc'.",
        "WORKERS must be a whole number from 1 to 64, not '0'.",
        "LOG_LEVEL must be one of debug, info, warning, error, not 'loud'.",
        "PUBLIC_URL must be a URL such as https://host.example.",
        "Unsupported database URL scheme 'mysql'. Supported: sqlite:, file:, postgres://, postgresql://",
        "DATABASE_PREPARED_STATEMENTS must be true or false, not 'perhaps'.",
        "DEFAULT_AGENT=openai needs OPENAI_MODEL.",
        "DEFAULT_AGENT=openai needs OPENAI_API_KEY, or OPENAI_BASE_URL of a server that asks for none.",
        "SLACK_MCP_POLL_S must be a number above 0, not 'inf'.",
        "SLACK_MCP_LEASE_RENEW_S must be less than half of SLACK_MCP_LEASE_S, so that one late renewal loses nothing.",
    }
    assert expected <= set(problems)
    assert sum(problem.startswith("ENCRYPTION_KEYS, entry") for problem in problems) == 2
    assert sum(problem.startswith("AUTH_TOKEN must have at least 24") for problem in problems) == 1
    assert len(problems) == len(expected) + 3
    assert "canary" not in "\n".join(problems)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"WORKERS": "2"}, "WORKERS above 1 needs PostgreSQL"),
        ({"DATABASE_LISTEN_URL": PG}, "DATABASE_LISTEN_URL is for PostgreSQL"),
        ({"DATABASE_URL": PG, "DATABASE_LISTEN_URL": "sqlite:x"}, "DATABASE_LISTEN_URL must be a postgresql:// URL"),
        ({"TRANSCRIPTION_URL": "https://stt.example"}, "TRANSCRIPTION_URL needs TRANSCRIPTION_MODEL"),
        ({"TRANSCRIPTION_MODEL": "whisper-1"}, "TRANSCRIPTION_MODEL needs TRANSCRIPTION_URL, or a key"),
        ({"SLACK_MCP_LANES_PER_POD": "4"}, "SLACK_MCP_LANES_PER_CONNECTION must not be above"),
        ({"SLACK_MCP_RETRY_MAX_AGE_S": "0.5"}, "SLACK_MCP_RETRY_BASE_S must be less"),
    ],
)
def test_settings_that_do_not_go_together(environ: dict[str, str], said: str) -> None:
    (problem,) = problems_of(**environ)
    assert problem.startswith(said)


def test_a_rule_is_not_told_on_top_of_a_mistake_in_what_it_compares() -> None:
    assert len(problems_of(WORKERS="2", DATABASE_URL="mysql://h/d")) == 1


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SLACK_MCP_PORT", "did you mean PORT? It has no prefix."),
        ("SLACK_MCP_DATABASE_URL_FILE", "did you mean DATABASE_URL_FILE? It has no prefix."),
        ("SLACK_MCP_DATABSE_URL", "did you mean DATABASE_URL?"),
        ("SLACK_MCP_POLL", "did you mean SLACK_MCP_POLL_S?"),
        ("SLACK_MCP_XYZZY", "`slack-mcp docs settings` lists them all."),
    ],
)
def test_unknown_names_are_mistakes(name: str, meant: str) -> None:
    assert problems_of(**{name: "1"}) == (f"{name} is not a setting; {meant}",)


def test_what_kubernetes_adds_for_a_service_of_our_name_is_no_mistake() -> None:
    read(
        SLACK_MCP_SERVICE_HOST="10.0.0.1",
        SLACK_MCP_SERVICE_PORT="80",
        SLACK_MCP_SERVICE_PORT_HTTP="80",
        SLACK_MCP_PORT="tcp://10.0.0.1:80",
        SLACK_MCP_PORT_80_TCP="tcp://10.0.0.1:80",
        SLACK_MCP_PORT_80_TCP_ADDR="10.0.0.1",
        SLACK_MCP_HEADLESS_SERVICE_HOST="10.0.0.2",
        SLACK_MCP_HEADLESS_PORT="tcp://10.0.0.2:80",
    )


def test_every_secret_may_come_from_a_file(tmp_path: Path) -> None:
    names = {get_name(field): key for key, field in Settings.model_fields.items() if is_secret(field)}
    assert set(names) == set(SECRETS)
    environ = {}
    for name, value in SECRETS.items():
        path = tmp_path / name
        path.write_text(value + "\n")
        environ[name + "_FILE"] = str(path)
    settings = read(**environ, SLACK_CLIENT_ID="1.2")
    for name, key in names.items():
        assert getattr(settings, key) == Secret(SECRETS[name])


def test_only_one_trailing_line_break_is_cut(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b" two \n\r\n")
    assert read(MESH_JWT_SECRET_FILE=str(tmp_path / "s")).mesh_jwt_secret == Secret(" two \n")


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\x00"])
def test_secret_files_without_a_secret_are_mistakes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s").write_bytes(content)
    (problem,) = problems_of(MESH_JWT_SECRET_FILE=str(tmp_path / "s"))
    assert problem.startswith("MESH_JWT_SECRET_FILE: ")


def test_a_secret_given_twice_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("canary")
    problems = problems_of(MESH_JWT_SECRET="canary", MESH_JWT_SECRET_FILE=str(tmp_path / "s"))
    assert problems == ("MESH_JWT_SECRET and MESH_JWT_SECRET_FILE are both set: remove one.",)


def test_empty_values_are_as_good_as_none() -> None:
    assert read(PORT="", DATABASE_URL=" ", MESH_JWT_SECRET_FILE="", SLACK_MCP_NOT_KNOWN="") == read()


def test_the_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    (tmp_path / "s").write_text("from file")
    dotenv.write_text(
        f"PORT=1\nHOST='0.0.0.0'\nOPENAI_API_KEY=a${{HOME}}$b\nMESH_JWT_SECRET_FILE={tmp_path / 's'}\nOTHER_TOOLS=x\n"
    )
    settings = Settings.from_env({"PORT": "2", "MESH_JWT_SECRET": "from environment"}, dotenv=dotenv)
    assert (settings.host, settings.port) == ("0.0.0.0", 2)  # noqa: S104 - a value, nothing listens
    assert settings.mesh_jwt_secret == Secret("from environment")
    assert settings.openai_api_key == Secret("a${HOME}$b")
    assert Settings.from_env({}, dotenv=dotenv).mesh_jwt_secret == Secret("from file")


def test_an_env_file_need_not_exist_but_must_be_readable(tmp_path: Path) -> None:
    Settings.from_env({}, dotenv=tmp_path / "none")
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="cannot be read"):
        Settings.from_env({}, dotenv=tmp_path / ".env")


def test_unknown_names_in_the_env_file_are_mistakes_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SLACK_MCP_LEASE=3\n")
    with pytest.raises(SettingsError, match="did you mean SLACK_MCP_LEASE_S"):
        Settings.from_env({}, dotenv=tmp_path / ".env")


def test_settings_show_no_secret_and_do_not_change() -> None:
    settings = read(**SECRETS, SLACK_CLIENT_ID="1.2")
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert "canary" not in shown
        assert KEY not in shown
    with pytest.raises(ValidationError):
        settings.port = 1


def test_the_process_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1")
    assert read().port == 8080


def test_listening_goes_to_the_direct_url() -> None:
    assert read().listen_database is None
    assert read(DATABASE_URL=PG).listen_database == read(DATABASE_URL=PG).database
    direct = read(DATABASE_URL=PG, DATABASE_LISTEN_URL="postgresql://direct/d").listen_database
    assert direct is not None
    assert direct.dsn == "postgresql://direct/d"


def test_what_was_chosen_in_silence_is_said_at_the_start() -> None:
    assert read(DATABASE_URL=":memory:").notices[0].startswith("The database is in memory")
    clear, pooled = read(DATABASE_URL=PG, DATABASE_PREPARED_STATEMENTS="false").notices
    assert "clear text" in clear
    assert "DATABASE_LISTEN_URL" in pooled
    assert read(DATABASE_URL=PG, ENCRYPTION_KEYS=KEY).notices == ()


def test_each_setting_says_what_it_is() -> None:
    for key, field in Settings.model_fields.items():
        assert field.description, key
        assert get_extra(field)["section"], key
        unit = str(get_extra(field)["unit"])
        assert get_name(field).lower() in {key, f"slack_mcp_{key}"}
        if key.endswith(("_s", "_days", "_bytes")):
            assert key.endswith("_" + unit), key


def test_headers_for_the_collector_are_read_as_opentelemetry_writes_them() -> None:
    settings = read(OTEL_EXPORTER_OTLP_HEADERS=" Api-Key=a%20b=c , x=,")
    assert settings.otel_header_values == {"api-key": "a b=c", "x": ""}
    assert read().otel_header_values == {}


@pytest.mark.parametrize("headers", ["canary", "=canary", "a=b,canary"])
def test_headers_that_are_none_are_refused_without_being_shown(headers: str) -> None:
    (problem,) = problems_of(OTEL_EXPORTER_OTLP_HEADERS=headers)
    assert "OTEL_EXPORTER_OTLP_HEADERS" in problem
    assert "canary" not in problem


@pytest.mark.parametrize("ratio", ["-0.1", "1.1", "nan", "half"])
def test_the_part_that_is_traced_is_between_none_and_all(ratio: str) -> None:
    assert "OTEL_TRACES_SAMPLER_ARG" in problems_of(OTEL_TRACES_SAMPLER_ARG=ratio)[0]


def test_valkey_needs_postgresql_and_a_url_that_can_be_read() -> None:
    assert problems_of(REDIS_URL="redis://h") == (
        "REDIS_URL is for several pods, which need PostgreSQL: remove it, or set DATABASE_URL=postgresql://….",
    )
    (problem,) = problems_of(REDIS_URL="http://u:canary@h", DATABASE_URL=PG)
    assert problem.startswith("REDIS_URL must read redis://")
    assert "canary" not in problem
    settings = read(REDIS_URL="rediss://u:canary@h/3", DATABASE_URL=PG, ENCRYPTION_KEYS=KEY)
    assert settings.valkey is not None
    assert settings.valkey.describe() == "Valkey 3 at h:6379 (TLS)"
    assert settings.notices == ()


def test_it_is_said_when_valkey_gets_no_connections_for_want_of_keys() -> None:
    notices = read(REDIS_URL="redis://h", DATABASE_URL=PG).notices
    assert any("no connection is kept in Valkey" in notice for notice in notices)


def test_prefix_of_keys_is_made_of_plain_characters() -> None:
    (problem,) = problems_of(SLACK_MCP_REDIS_PREFIX="a:b")
    assert problem == "SLACK_MCP_REDIS_PREFIX must be letters, digits, '_', '.' and '-'."
