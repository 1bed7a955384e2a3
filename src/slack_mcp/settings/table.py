"""All settings, each with its unit, default and limits. This is the only reader of the environment.

The file is long because the table is one: docs/settings.md is made from it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from pydantic import ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from slack_mcp.core.errors import SettingsError
from slack_mcp.core.model import AgentBackend
from slack_mcp.core.secret import Secret
from slack_mcp.sealing import KeyRing
from slack_mcp.settings.kinds import (
    A_WEB_URL,
    ApiUrl,
    AuthTokenText,
    ExactWebUrl,
    HeadersText,
    KeysText,
    LogFormat,
    LogLevel,
    MetricsTokenText,
    SecretText,
    TextList,
    WebUrl,
    WebUrlList,
    get_extra,
    get_name,
    is_secret,
    parse_headers,
    render_expected,
    setting,
)
from slack_mcp.settings.sources import collect
from slack_mcp.store.url import DatabaseUrl, parse_database_url
from slack_mcp.valkey.url import ValkeyUrl, parse_valkey_url

SERVER: Final = "Server"
DATABASE: Final = "Database"
KEYS: Final = "Keys"
MCP: Final = "MCP and Mesh"
TRIGGERS: Final = "Triggers"
SLACK: Final = "Slack"
AGENTS: Final = "Agents"
TRACES: Final = "Traces"
WORK: Final = "Tuning: work"
REST: Final = "Tuning: connections, storage, shutdown"
MAX_PORT: Final = 65535


class Settings(BaseSettings):
    """Everything that may be set. Made by `Settings.from_env`; its `repr` shows no secret."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True, validate_default=False
    )

    host: str = setting(
        SERVER,
        "HOST",
        "127.0.0.1",
        "Address to listen on. The default is this machine alone; a container wants `0.0.0.0`.",
    )
    port: int = setting(SERVER, "PORT", 8080, "Port to listen on; 0 takes any free one.", ge=0, le=MAX_PORT)
    workers: int = setting(SERVER, "WORKERS", 1, "Processes on the port. More than one needs PostgreSQL.", ge=1, le=64)
    public_url: WebUrl | None = setting(
        SERVER, "PUBLIC_URL", None, "Where Slack and Mesh reach this service.", expected=A_WEB_URL
    )
    log_level: LogLevel = setting(SERVER, "LOG_LEVEL", "info", "The least important lines that are written.")
    log_format: LogFormat = setting(
        SERVER, "LOG_FORMAT", "auto", "`json`, `console`, or `auto`: console on a terminal, JSON elsewhere."
    )

    metrics_token: MetricsTokenText | None = setting(
        SERVER,
        "METRICS_TOKEN",
        None,
        "Who reads `/metrics` has to show it (`Authorization: Bearer …`), 24 characters at least. Unset: nobody can.",
    )

    database_url: SecretText | None = setting(
        DATABASE,
        "DATABASE_URL",
        None,
        "`sqlite:./data/slack.db`, `sqlite:///absolute/path`, `file:./path`, `:memory:`, `postgres://…` or "
        "`postgresql://…` (with `sslmode`, `sslrootcert`, `host` for a socket). Unset: `slack.db` under `DATA_DIR`.",
    )
    database_listen_url: SecretText | None = setting(
        DATABASE,
        "DATABASE_LISTEN_URL",
        None,
        "PostgreSQL without the pooler in between, for LISTEN. Needed behind PgBouncer in transaction mode.",
    )
    database_pool_size: int = setting(
        DATABASE, "DATABASE_POOL_SIZE", 10, "Connections of one process to PostgreSQL.", ge=2, le=1000
    )
    database_connect_timeout_s: float = setting(
        DATABASE, "DATABASE_CONNECT_TIMEOUT_S", 5.0, "Longest wait for a connection to PostgreSQL.", unit="s", gt=0
    )
    database_prepared_statements: bool = setting(
        DATABASE,
        "DATABASE_PREPARED_STATEMENTS",
        default=True,
        description="`false` behind PgBouncer in transaction mode.",
    )
    data_dir: Path = setting(
        DATABASE, "DATA_DIR", Path("./data"), "Directory of the default SQLite database.", expected="a directory"
    )

    redis_url: SecretText | None = setting(
        DATABASE,
        "REDIS_URL",
        None,
        "Valkey or Redis beside PostgreSQL: `redis://user:password@host:6379/0`, or `rediss://…` for TLS (with "
        "`ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`). Optional; needs the extra `valkey`.",
    )
    redis_prefix: str = setting(
        DATABASE,
        "SLACK_MCP_REDIS_PREFIX",
        "slack-mcp",
        "What all keys and channels there begin with. Deployments that share a server need different ones.",
        expected="letters, digits, '_', '.' and '-'",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
    )

    encryption_keys: KeysText | None = setting(
        KEYS,
        "ENCRYPTION_KEYS",
        None,
        "`id:base64,id:base64`, 32 bytes each; the first seals, all open. Unset: SQLite makes a key file beside the "
        "database, PostgreSQL stores clear text and says so.",
    )
    encryption_keys_command: str | None = setting(
        KEYS,
        "ENCRYPTION_KEYS_COMMAND",
        None,
        "Program with arguments that prints what `ENCRYPTION_KEYS` would hold: for a key management service. Run once "
        "at the start, without a shell, for 10 s at most.",
        expected="a program with its arguments",
    )

    auth_token: AuthTokenText | None = setting(
        MCP, "AUTH_TOKEN", None, "Shared secret that a caller of `/mcp` may show instead of a Mesh token."
    )
    auth_header: str = setting(MCP, "AUTH_HEADER", "Authorization", "Header that carries `AUTH_TOKEN`.")
    mcp_allowed_hosts: TextList = setting(
        MCP,
        "MCP_ALLOWED_HOSTS",
        (),
        "Host names under which `/mcp` may be called, beside this machine's and that of `PUBLIC_URL`.",
        expected="names with commas between",
    )
    mesh_jwt_secret: SecretText | None = setting(
        MCP, "MESH_JWT_SECRET", None, "Mesh's own `MESH_JWT_SECRET`: proves Mesh tokens without asking Mesh."
    )
    mesh_allowed_urls: WebUrlList = setting(
        MCP,
        "MESH_ALLOWED_URLS",
        (),
        "Mesh servers that may be asked whether a token is theirs.",
        expected="URLs such as https://mesh.example with commas between",
    )
    oauth_issuer: ExactWebUrl | None = setting(
        MCP,
        "OAUTH_ISSUER",
        None,
        "Authorization server whose access tokens are accepted at `/mcp`. Unset: none are. Needs `PUBLIC_URL`.",
        expected=A_WEB_URL,
    )
    oauth_audience: str | None = setting(
        MCP,
        "OAUTH_AUDIENCE",
        None,
        "What a token must name as its audience. Unset: `PUBLIC_URL` with `/mcp` at its end.",
    )
    oauth_jwks_url: ExactWebUrl | None = setting(
        MCP,
        "OAUTH_JWKS_URL",
        None,
        "The issuer's keys. Unset: where the issuer's metadata says they are.",
        expected=A_WEB_URL,
    )
    oauth_connection_claim: str | None = setting(
        MCP, "OAUTH_CONNECTION_CLAIM", None, "The claim of a token that holds the id of the connection it opens."
    )
    oauth_connection_id: str | None = setting(
        MCP, "OAUTH_CONNECTION_ID", None, "The connection that every token opens, instead of such a claim."
    )
    mcp_rate_limit_per_min: int = setting(
        MCP,
        "MCP_RATE_LIMIT_PER_MIN",
        600,
        "Requests to `/mcp` that one process takes from one caller in a minute; 0 takes all.",
        unit="1/min",
        ge=0,
        le=1_000_000,
    )

    trigger_allow_private_targets: bool = setting(
        TRIGGERS,
        "TRIGGER_ALLOW_PRIVATE_TARGETS",
        default=False,
        description="`true` lets receivers of triggers have any address, private ones and this machine's too, and be "
        "reached over plain HTTP. For development, and where nobody but the operator can add one.",
    )
    trigger_allowed_hosts: TextList = setting(
        TRIGGERS,
        "TRIGGER_ALLOWED_HOSTS",
        (),
        "Host names of receivers for which the same holds, such as `hooks.example`.",
        expected="names with commas between",
    )

    slack_api_url: ApiUrl = setting(
        SLACK, "SLACK_API_URL", "https://slack.com/api/", "Slack's Web API.", expected=A_WEB_URL
    )
    slack_signing_secret: SecretText | None = setting(
        SLACK,
        "SLACK_SIGNING_SECRET",
        None,
        "Of the one app that serves many workspaces on `/slack/events`: proves Slack's `url_verification` there before "
        "any connection exists. `slack-mcp connections add` takes it too.",
    )
    slack_bot_token: SecretText | None = setting(
        SLACK,
        "SLACK_BOT_TOKEN",
        None,
        "Taken by `slack-mcp connections add`, and by `slack-mcp stdio` without a database; the service ignores it.",
    )
    slack_user_token: SecretText | None = setting(
        SLACK, "SLACK_USER_TOKEN", None, "Taken by `slack-mcp stdio` beside `SLACK_BOT_TOKEN`, for search and unreads."
    )

    slack_refresh_token: SecretText | None = setting(
        SLACK,
        "SLACK_REFRESH_TOKEN",
        None,
        "Taken by `slack-mcp connections add` beside `SLACK_BOT_TOKEN`, for one that expires; the service ignores it.",
    )
    slack_client_id: str | None = setting(
        SLACK,
        "SLACK_CLIENT_ID",
        None,
        "Of the one app that serves many workspaces, when its bot tokens expire: with it they are replaced. A "
        "connection may have its own.",
        expected="the app's client id",
    )
    slack_client_secret: SecretText | None = setting(SLACK, "SLACK_CLIENT_SECRET", None, "Beside `SLACK_CLIENT_ID`.")

    slack_budget: bool = setting(
        SLACK,
        "SLACK_BUDGET",
        default=True,
        description="`false` lets every call to Slack's Web API start at once, whatever Slack's rate limits are.",
    )
    slack_budget_factor: float = setting(
        SLACK,
        "SLACK_BUDGET_FACTOR",
        1.0,
        "What Slack's rate limits are multiplied by, for workspaces that have others.",
        gt=0,
        le=1000,
    )

    default_agent: AgentBackend | None = setting(
        AGENTS,
        "DEFAULT_AGENT",
        None,
        "Who answers where the connection chooses no agent. Unset: nobody, and the bot says so.",
    )
    openai_base_url: WebUrl | None = setting(
        AGENTS, "OPENAI_BASE_URL", None, "Any OpenAI-compatible server. Unset: OpenAI's own.", expected=A_WEB_URL
    )
    openai_api_key: SecretText | None = setting(AGENTS, "OPENAI_API_KEY", None, "Key for that server.")
    openai_model: str | None = setting(AGENTS, "OPENAI_MODEL", None, "Model, unless the connection names one.")
    transcription_model: str | None = setting(
        AGENTS,
        "TRANSCRIPTION_MODEL",
        None,
        "Model that writes down recordings, such as `whisper-1`. Unset: only connections that name a WHISPER in Mesh "
        "have them written down.",
    )
    transcription_url: WebUrl | None = setting(
        AGENTS,
        "TRANSCRIPTION_URL",
        None,
        "OpenAI-compatible server of that model. Unset: that of `OPENAI_BASE_URL`, with its key.",
        expected=A_WEB_URL,
    )
    transcription_api_key: SecretText | None = setting(
        AGENTS, "TRANSCRIPTION_API_KEY", None, "Key for it. Unset, and no `TRANSCRIPTION_URL`: `OPENAI_API_KEY`."
    )
    turn_timeout_s: float = setting(
        AGENTS, "SLACK_MCP_TURN_TIMEOUT_S", 300.0, "Longest time an agent may take for one answer.", unit="s", gt=0
    )

    lease_s: float = setting(
        WORK,
        "SLACK_MCP_LEASE_S",
        15.0,
        "How long a lane is held without a sign of life.",
        unit="s",
        ge=1,
        le=600,
    )
    lease_renew_s: float = setting(
        WORK, "SLACK_MCP_LEASE_RENEW_S", 5.0, "Time between signs of life; less than half a lease.", unit="s", gt=0
    )
    poll_s: float = setting(
        WORK,
        "SLACK_MCP_POLL_S",
        1.0,
        "Time between looks into the journal without a NOTIFY.",
        unit="s",
        gt=0,
        le=60,
    )
    otel_exporter_otlp_endpoint: WebUrl | None = setting(
        TRACES,
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        None,
        "Collector that takes traces over OTLP and HTTP, such as `http://collector.example:4318`. Unset: nothing is "
        "traced. Needs the extra `slack-mcp[otel]`.",
        expected=A_WEB_URL,
    )
    otel_exporter_otlp_headers: HeadersText | None = setting(
        TRACES,
        "OTEL_EXPORTER_OTLP_HEADERS",
        None,
        "What the collector wants to see, as `name=value,name=value`, percent-encoded where needed.",
    )
    otel_service_name: str = setting(TRACES, "OTEL_SERVICE_NAME", "slack-mcp", "What the service is called there.")
    otel_traces_sampler_arg: float = setting(
        TRACES,
        "OTEL_TRACES_SAMPLER_ARG",
        1.0,
        "The part of the events that is traced, the same on all pods.",
        ge=0,
        le=1,
    )

    lanes_per_pod: int = setting(WORK, "SLACK_MCP_LANES_PER_POD", 64, "Lanes a process works on at once.", ge=1)
    lanes_per_connection: int = setting(
        WORK, "SLACK_MCP_LANES_PER_CONNECTION", 16, "Lanes of one connection worked on at once, by all pods.", ge=1
    )
    retry_max_attempts: int = setting(
        WORK, "SLACK_MCP_RETRY_MAX_ATTEMPTS", 8, "Attempts before an event is given up.", ge=1, le=100
    )
    retry_max_age_s: float = setting(
        WORK, "SLACK_MCP_RETRY_MAX_AGE_S", 3600.0, "Age at which an event is not tried again.", unit="s", gt=0
    )
    retry_base_s: float = setting(
        WORK,
        "SLACK_MCP_RETRY_BASE_S",
        1.0,
        "Wait after the first failure; each one more doubles it.",
        unit="s",
        gt=0,
    )
    max_body_bytes: int = setting(
        WORK, "SLACK_MCP_MAX_BODY_BYTES", 1_048_576, "Largest webhook body that is read.", unit="bytes", ge=1024
    )
    max_file_bytes: int = setting(
        WORK,
        "SLACK_MCP_MAX_FILE_BYTES",
        26_214_400,
        "Largest file that is fetched for a question, or shown for an agent. A process has up to 8 in memory.",
        unit="bytes",
        ge=1024,
        le=104_857_600,
    )
    max_waiting_deliveries: int = setting(
        WORK,
        "SLACK_MCP_MAX_WAITING_DELIVERIES",
        10_000,
        "Deliveries of one process that may wait for the database; more get a 503, and Slack sends them again.",
        ge=1,
    )

    max_connections: int = setting(
        WORK,
        "SLACK_MCP_MAX_CONNECTIONS",
        2_000,
        "HTTP connections of one process that may be open; for another one, the one that has been idle for the "
        "longest goes. When all are in work, deliveries get a 503.",
        ge=16,
        le=1_000_000,
    )

    directory_ttl_s: float = setting(
        REST,
        "SLACK_MCP_DIRECTORY_TTL_S",
        30.0,
        "Longest time a connection is used without asking the database.",
        unit="s",
        gt=0,
    )
    directory_max_entries: int = setting(
        REST, "SLACK_MCP_DIRECTORY_MAX_ENTRIES", 10_000, "Connections that a process keeps in memory.", ge=1
    )
    token_renew_ahead_s: float = setting(
        REST,
        "SLACK_MCP_TOKEN_RENEW_AHEAD_S",
        7200.0,
        "How long before its end a bot token that expires is replaced. Slack's live for 12 hours.",
        unit="s",
        ge=60,
        le=36_000,
    )
    signing_secret_overlap_s: float = setting(
        REST,
        "SLACK_MCP_SIGNING_SECRET_OVERLAP_S",
        86_400.0,
        "How long a replaced signing secret is still accepted.",
        unit="s",
        ge=0,
    )
    retention_done_days: float = setting(
        REST,
        "SLACK_MCP_RETENTION_DONE_DAYS",
        7.0,
        "How long finished events are kept; on PostgreSQL up to a week longer, as whole weeks are dropped.",
        unit="days",
        gt=0,
    )
    retention_dead_days: float = setting(
        REST,
        "SLACK_MCP_RETENTION_DEAD_DAYS",
        30.0,
        "How long given-up events are kept; on PostgreSQL up to a week longer.",
        unit="days",
        gt=0,
    )
    retention_turns_days: float = setting(
        REST,
        "SLACK_MCP_RETENTION_TURNS_DAYS",
        90.0,
        "How long a question and its answer are kept, and with them the bot's part in the thread.",
        unit="days",
        gt=0,
    )
    retention_audit_days: float = setting(
        REST,
        "SLACK_MCP_RETENTION_AUDIT_DAYS",
        365.0,
        "How long it is kept what tools wrote and commands changed.",
        unit="days",
        gt=0,
    )
    mesh_gone_days: float = setting(
        REST,
        "SLACK_MCP_MESH_GONE_DAYS",
        30.0,
        "After how long a connection that Mesh refuses is disabled, until it is saved in Mesh again; 0 is never.",
        unit="days",
        ge=0,
    )
    backup_target: str | None = setting(
        REST,
        "BACKUP_TARGET",
        None,
        "Where `slack-mcp backup` puts and finds backups, unless it is told otherwise: a directory, or "
        "`s3://bucket/prefix`.",
    )
    temp_file_ttl_s: float = setting(
        REST,
        "SLACK_MCP_TEMP_FILE_TTL_S",
        600.0,
        "How long the link to a recording is good that is written down elsewhere.",
        unit="s",
        ge=60,
        le=86_400,
    )
    drain_delay_s: float = setting(
        REST,
        "SLACK_MCP_DRAIN_DELAY_S",
        0.0,
        "After SIGTERM, how long requests are still taken while `/readyz` says no.",
        unit="s",
        ge=0,
    )
    drain_timeout_s: float = setting(
        REST,
        "SLACK_MCP_DRAIN_TIMEOUT_S",
        15.0,
        "How long work in hand may finish before it is handed back.",
        unit="s",
        ge=0,
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, dotenv: Path | None) -> Self:
        """Return the settings.

        Args:
            environ: the environment, or what stands for it.
            dotenv: a `.env` file under the environment; it need not exist.

        Raises:
            SettingsError: every mistake there is, one sentence each.
        """
        names = {get_name(field): key for key, field in cls.model_fields.items()}
        secret_names = [name for name, key in names.items() if is_secret(cls.model_fields[key])]
        collected = collect(
            environ,
            dotenv=dotenv,
            names=names,
            secret_names=secret_names,
            command_names=[get_name(cls.model_fields["encryption_keys"])],
        )
        problems = list(collected.problems)
        values: dict[str, Any] = dict(collected.values)
        wrong = {names[name] for name in collected.names}
        try:
            settings = cls(**values)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                name = str(detail["loc"][0])
                wrong.add(names[name])
                problems += _render_problem(cls, names[name], detail, values.get(name, ""))
            # The rest is still checked against each other, so that nobody has to start twice to learn of it.
            settings = cls(**{name: value for name, value in values.items() if names[name] not in wrong})
        problems += [
            rule.sentence for rule in RULES if not wrong.intersection(rule.fields) and not rule.holds(settings)
        ]
        if problems:
            raise SettingsError(problems)
        return settings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings calls it so
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the one source: what `from_env` was given. Tests pass a dict, and nothing reads the process's own."""
        return (init_settings,)

    @field_validator("database_url", "database_listen_url", mode="after")
    @classmethod
    def _check_database_url(cls, value: Secret | None, info: Any) -> Secret | None:
        """Refuse a URL that cannot be used."""
        if value is not None:
            try:
                parse_database_url(value.reveal(), data_dir=Path(), name=str(info.field_name).upper())
            except SettingsError as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("redis_url", mode="after")
    @classmethod
    def _check_redis_url(cls, value: Secret | None) -> Secret | None:
        """Refuse a URL that cannot be used."""
        if value is not None:
            try:
                parse_valkey_url(value.reveal())
            except SettingsError as error:
                raise ValueError(str(error)) from None
        return value

    @property
    def valkey(self) -> ValkeyUrl | None:
        """Where `REDIS_URL` points, or None."""
        return parse_valkey_url(self.redis_url.reveal()) if self.redis_url else None

    @property
    def database(self) -> DatabaseUrl:
        """The database, as `DATABASE_URL` or the default names it."""
        url = self.database_url.reveal() if self.database_url else None
        return parse_database_url(url, data_dir=self.data_dir)

    @property
    def listen_database(self) -> DatabaseUrl | None:
        """Where to LISTEN: `DATABASE_LISTEN_URL`, else the database itself; None with SQLite."""
        if self.database.dialect == "sqlite":
            return None
        if self.database_listen_url is None:
            return self.database
        return parse_database_url(self.database_listen_url.reveal(), data_dir=self.data_dir, name="DATABASE_LISTEN_URL")

    @property
    def listen_dsn(self) -> str | None:
        """The DSN to LISTEN on; None with SQLite, and where only a pooler in transaction mode is known."""
        if not self.database_prepared_statements and self.database_listen_url is None:
            return None
        return self.listen_database.dsn if self.listen_database else None

    @property
    def key_ring(self) -> KeyRing | None:
        """The keys of `ENCRYPTION_KEYS`, or None."""
        return KeyRing.parse(self.encryption_keys.reveal()) if self.encryption_keys else None

    @property
    def otel_header_values(self) -> Mapping[str, str]:
        """The headers for the collector."""
        return (
            {} if self.otel_exporter_otlp_headers is None else parse_headers(self.otel_exporter_otlp_headers.reveal())
        )

    @property
    def notices(self) -> tuple[str, ...]:
        """What to say at the start: sentences on what was chosen in silence, or will surprise."""
        database = self.database
        notices = []
        if database.is_default:
            notices.append(f"DATABASE_URL is not set: using {database.describe()}.")
        if database.dialect == "sqlite" and database.sqlite_path is None:
            notices.append("The database is in memory: everything is gone when the process ends.")
        if database.dialect == "postgresql" and self.encryption_keys is None:
            notices.append("ENCRYPTION_KEYS is not set: tokens and message text are stored in clear text.")
        if self.redis_url and self.encryption_keys is None:
            notices.append(
                "REDIS_URL is set and ENCRYPTION_KEYS is not: no connection is kept in Valkey, where it would be in "
                "clear text."
            )
        if database.dialect == "postgresql" and not self.database_prepared_statements and not self.database_listen_url:
            notices.append(
                "DATABASE_PREPARED_STATEMENTS is false and DATABASE_LISTEN_URL is not set: behind PgBouncer in "
                "transaction mode other pods hear of changes only "
                + ("from Valkey and by polling." if self.redis_url else "by polling.")
            )
        return tuple(notices)


def _render_problem(cls: type[Settings], key: str, detail: Mapping[str, Any], text: str) -> list[str]:
    """Return the sentences for one refused value; a secret's own value is in none of them."""
    field = cls.model_fields[key]
    own = str(detail.get("ctx", {}).get("error", ""))
    if own:
        return own.splitlines()
    # Only words and numbers are shown: a URL may hold a password by mistake.
    shown = "" if is_secret(field) or get_extra(field).get("expected") else f", not {text!r}"
    return [f"{get_name(field)} must be {render_expected(field)}{shown}."]


class Rule(NamedTuple):
    """Something that must hold between settings, told only when each of them is right by itself."""

    fields: tuple[str, ...]
    holds: Callable[[Settings], bool]
    sentence: str


RULES: Final = (
    Rule(
        ("slack_client_id", "slack_client_secret"),
        lambda s: (s.slack_client_id is None) == (s.slack_client_secret is None),
        "SLACK_CLIENT_ID and SLACK_CLIENT_SECRET belong together: set both, or neither.",
    ),
    Rule(
        ("oauth_issuer", "public_url"),
        lambda s: s.oauth_issuer is None or s.public_url is not None,
        "OAUTH_ISSUER needs PUBLIC_URL, which names this service to clients.",
    ),
    Rule(
        ("oauth_issuer", "oauth_connection_claim", "oauth_connection_id"),
        lambda s: s.oauth_issuer is None or (s.oauth_connection_claim is None) != (s.oauth_connection_id is None),
        "OAUTH_ISSUER needs OAUTH_CONNECTION_CLAIM or OAUTH_CONNECTION_ID, and not both.",
    ),
    Rule(
        ("lease_s", "lease_renew_s"),
        lambda s: s.lease_renew_s < s.lease_s / 2,
        "SLACK_MCP_LEASE_RENEW_S must be less than half of SLACK_MCP_LEASE_S, so that one late renewal loses nothing.",
    ),
    Rule(
        ("workers", "database_url"),
        lambda s: s.workers == 1 or s.database.dialect == "postgresql",
        "WORKERS above 1 needs PostgreSQL: set DATABASE_URL=postgresql://…, or WORKERS=1.",
    ),
    Rule(
        ("redis_url", "database_url"),
        lambda s: s.redis_url is None or s.database.dialect == "postgresql",
        "REDIS_URL is for several pods, which need PostgreSQL: remove it, or set DATABASE_URL=postgresql://….",
    ),
    Rule(
        ("database_listen_url", "database_url"),
        lambda s: s.database_listen_url is None or s.database.dialect == "postgresql",
        "DATABASE_LISTEN_URL is for PostgreSQL: remove it, or set DATABASE_URL=postgresql://….",
    ),
    Rule(
        ("database_listen_url", "database_url"),
        lambda s: (listen := s.listen_database) is None or listen.dialect == "postgresql",
        "DATABASE_LISTEN_URL must be a postgresql:// URL.",
    ),
    Rule(
        ("lanes_per_pod", "lanes_per_connection"),
        lambda s: s.lanes_per_connection <= s.lanes_per_pod,
        "SLACK_MCP_LANES_PER_CONNECTION must not be above SLACK_MCP_LANES_PER_POD.",
    ),
    Rule(
        ("retry_base_s", "retry_max_age_s"),
        lambda s: s.retry_base_s < s.retry_max_age_s,
        "SLACK_MCP_RETRY_BASE_S must be less than SLACK_MCP_RETRY_MAX_AGE_S.",
    ),
    Rule(
        ("transcription_model", "transcription_url"),
        lambda s: s.transcription_url is None or bool(s.transcription_model),
        "TRANSCRIPTION_URL needs TRANSCRIPTION_MODEL.",
    ),
    Rule(
        ("transcription_model", "transcription_url", "transcription_api_key", "openai_api_key", "openai_base_url"),
        lambda s: (
            not s.transcription_model
            or bool(s.transcription_url or s.transcription_api_key or s.openai_api_key or s.openai_base_url)
        ),
        "TRANSCRIPTION_MODEL needs TRANSCRIPTION_URL, or a key: TRANSCRIPTION_API_KEY or OPENAI_API_KEY.",
    ),
    Rule(
        ("default_agent", "openai_model"),
        lambda s: s.default_agent is not AgentBackend.OPENAI or bool(s.openai_model),
        "DEFAULT_AGENT=openai needs OPENAI_MODEL.",
    ),
    Rule(
        ("default_agent", "openai_api_key", "openai_base_url"),
        lambda s: s.default_agent is not AgentBackend.OPENAI or bool(s.openai_api_key or s.openai_base_url),
        "DEFAULT_AGENT=openai needs OPENAI_API_KEY, or OPENAI_BASE_URL of a server that asks for none.",
    ),
)
