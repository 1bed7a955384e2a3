"""The tables, as SQLAlchemy Core has them; the migrations make them.

Journal times are BIGINT unix milliseconds by the database's own clock, so that the clocks of the pods do not matter.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData()

Key = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only in an INTEGER PRIMARY KEY
UNFINISHED = "state IN ('received', 'waiting')"

connections = Table(
    "slack_connections",
    metadata,
    Column("connection_id", Text, primary_key=True),
    Column("organization_id", Text, nullable=False),
    Column("mesh_url", Text, nullable=False),
    Column("mesh_token", Text),
    Column("model_provider_id", Text),
    Column("model_id", Text),
    Column("agent_id", Text),
    Column("system_prompt", Text),
    Column("bot_token", Text, nullable=False),
    Column("signing_secret", Text, nullable=False),
    Column("team_id", Text),
    Column("bot_user_id", Text),
    Column("configured_at", Text, nullable=False, server_default=text("CURRENT_TIMESTAMP")),
    Column("updated_at", Text, nullable=False, server_default=text("CURRENT_TIMESTAMP")),
    # From here on: not in the table that other deployments already have; each came with a later migration.
    Column("mesh_api_key", Text),
    Column("mesh_api_key_id", Text),
    Column("organization_slug", Text),
    Column("team_name", Text),
    Column("connection_name", Text),
    Column("bot_id", Text),
    Column("api_app_id", Text),
    Column("previous_signing_secret", Text),
    Column("previous_signing_secret_until_s", Float(53)),
    Column("settings", Text, nullable=False, server_default=text("'{}'")),
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    Column("disabled", Boolean, nullable=False, server_default=false()),
    Column("user_token", Text),
    Column("bot_scopes", Text),
    Column("user_scopes", Text),
    Column("mesh_refused_since_ms", BigInteger),
    Column("refresh_token", Text),
    Column("token_expires_at_s", Float(53)),
    Column("client_id", Text),
    Column("client_secret", Text),
    Index("idx_slack_connections_team_id", "team_id"),
    Index("idx_slack_connections_updated_at", "updated_at"),
    Index("idx_slack_connections_organization_id", "organization_id"),
    Index(
        "idx_slack_connections_token_expires",
        "token_expires_at_s",
        postgresql_where=text("token_expires_at_s IS NOT NULL"),
        sqlite_where=text("token_expires_at_s IS NOT NULL"),
    ),
)

events = Table(
    "slack_events",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("connection_id", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", SmallInteger, nullable=False, server_default=text("0")),
    Column("retry_num", SmallInteger, nullable=False, server_default=text("0")),
    Column("retry_reason", Text),
    Column("received_by", Text, nullable=False),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("next_attempt_at_ms", BigInteger),
    Column("finished_at_ms", BigInteger),
    Column("reason", Text),
    Column("detail", Text),
    Column("replayed_at_ms", BigInteger),
    # On PostgreSQL the table is divided by it, and it is part of the primary key there; see `store.weeks`.
    Column("event_time", BigInteger, nullable=False),
    UniqueConstraint("connection_id", "event_id", "event_time", name="uq_slack_events_event"),
    Index(
        "idx_slack_events_unfinished",
        "connection_id",
        "lane",
        "id",
        postgresql_where=text(UNFINISHED),
        sqlite_where=text(UNFINISHED),
    ),
    Index(
        "idx_slack_events_finished",
        "state",
        "finished_at_ms",
        postgresql_where=text("finished_at_ms IS NOT NULL"),
        sqlite_where=text("finished_at_ms IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

lanes = Table(
    "slack_lanes",
    metadata,
    Column("lane_id", Key, primary_key=True, autoincrement=True),
    Column("connection_id", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("ready_at_ms", BigInteger, nullable=False),
    Column("holder", Text),
    Column("fence", BigInteger, nullable=False, server_default=text("0")),
    Column("lease_until_ms", BigInteger),
    Column("takeovers", Integer, nullable=False, server_default=text("0")),
    UniqueConstraint("connection_id", "lane", name="uq_slack_lanes_lane"),
    Index(
        "idx_slack_lanes_free",
        "connection_id",
        "ready_at_ms",
        postgresql_where=text("holder IS NULL"),
        sqlite_where=text("holder IS NULL"),
    ),
    Index(
        "idx_slack_lanes_held",
        "connection_id",
        "lease_until_ms",
        postgresql_where=text("holder IS NOT NULL"),
        sqlite_where=text("holder IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

duties = Table(
    "slack_duties",
    metadata,
    Column("duty", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("lease_until_ms", BigInteger, nullable=False),
)

turns = Table(
    "slack_turns",
    metadata,
    Column("connection_id", Text, primary_key=True),
    Column("channel_id", Text, primary_key=True),
    Column("message_ts", Text, primary_key=True),
    Column("thread_ts", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("user_id", Text),
    Column("state", Text, nullable=False),
    Column("question", Text, nullable=False),
    Column("answer_ts", Text),
    Column("answer", Text),
    Column("notice", Text),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("parts", Text),
    Column("opening", Text),
    Column("settled", Boolean, nullable=False, server_default=false()),
    Column("trace", Text),
    Column("stop_requested_at_ms", BigInteger),
    Index("idx_slack_turns_thread", "connection_id", "channel_id", "thread_ts", "message_ts"),
    Index("idx_slack_turns_updated_at", "updated_at_ms"),
    Index(
        "idx_slack_turns_unfinished",
        "connection_id",
        "channel_id",
        postgresql_where=text("state <> 'finished'"),
        sqlite_where=text("state <> 'finished'"),
    ),
)

api_keys = Table(
    "slack_api_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("connection_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("key_hash", Text, nullable=False),
    Column("access", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger),
    Column("revoked_at_ms", BigInteger),
    Index("idx_slack_api_keys_connection", "connection_id"),
)

audit = Table(
    "slack_audit",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("connection_id", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("tool", Text, nullable=False),
    Column("target", Text),
    Column("result", Text, nullable=False),
    Index("idx_slack_audit_connection", "connection_id", "id"),
    Index("idx_slack_audit_at", "at_ms"),
    sqlite_autoincrement=True,
)

triggers = Table(
    "slack_triggers",
    metadata,
    Column("connection_id", Text, primary_key=True),
    Column("trigger_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("filters", Text, nullable=False, server_default=text("'{}'")),
    Column("refused_at_ms", BigInteger),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
)

questions = Table(
    "slack_questions",
    metadata,
    Column("connection_id", Text, primary_key=True),
    Column("question_id", Text, primary_key=True),
    Column("channel_id", Text, nullable=False),
    Column("thread_ts", Text),
    Column("message_ts", Text),
    Column("asked_by", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("answerers", Text, nullable=False, server_default=text("'[]'")),
    Column("quorum", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("due_at_ms", BigInteger),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("used_at_ms", BigInteger),
    Index("idx_slack_questions_updated_at", "updated_at_ms"),
    Index(
        "idx_slack_questions_due",
        "due_at_ms",
        postgresql_where=text("due_at_ms IS NOT NULL"),
        sqlite_where=text("due_at_ms IS NOT NULL"),
    ),
)

answers = Table(
    "slack_answers",
    metadata,
    Column("connection_id", Text, primary_key=True),
    Column("question_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("answer", Text, nullable=False),
    Column("answered_at_ms", BigInteger, nullable=False),
)

threads = Table(
    "slack_threads",
    metadata,
    Column("connection_id", Text, primary_key=True),
    Column("channel_id", Text, primary_key=True),
    Column("thread_ts", Text, primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("reset_at_ms", BigInteger, nullable=False),
    Column("filled_at_ms", BigInteger),
    Column("summary", Text),
    Column("summarized_until_ts", Text),
    Column("viewed_channel_id", Text),
    Column("greeted_at_ms", BigInteger),
    Column("updated_at_ms", BigInteger),
    Index("idx_slack_threads_reset_at", "reset_at_ms"),
    Index("idx_slack_threads_updated_at", "updated_at_ms"),
)

messages = Table(
    "slack_messages",
    metadata,
    Column("connection_id", Text, primary_key=True),
    Column("channel_id", Text, primary_key=True),
    Column("message_ts", Text, primary_key=True),
    Column("thread_ts", Text, nullable=False),
    Column("user_id", Text),
    Column("bot_id", Text),
    Column("content", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Index("idx_slack_messages_thread", "connection_id", "channel_id", "thread_ts", "message_ts"),
    Index("idx_slack_messages_created_at", "created_at_ms"),
)

ratings = Table(
    "slack_ratings",
    metadata,
    Column("connection_id", Text, primary_key=True),
    Column("channel_id", Text, primary_key=True),
    Column("message_ts", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("rating", Text, nullable=False),
    Column("rated_at_ms", BigInteger, nullable=False),
    Index("idx_slack_ratings_rated_at", "rated_at_ms"),
)

temp_files = Table(
    "slack_temp_files",
    metadata,
    Column("file_id", Text, primary_key=True),
    Column("connection_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("mimetype", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Index("idx_slack_temp_files_expires_at", "expires_at_ms"),
    Index("idx_slack_temp_files_connection", "connection_id"),
)

buckets = Table(
    "slack_buckets",
    metadata,
    Column("connection_id", Text, primary_key=True),
    Column("bucket", Text, primary_key=True),
    Column("tokens", Float(53), nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("blocked_until_ms", BigInteger, nullable=False),
    Index("idx_slack_buckets_updated_at", "updated_at_ms"),
)

pods = Table(
    "slack_pods",
    metadata,
    Column("pod_id", Text, primary_key=True),
    Column("instance", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("seen_at_ms", BigInteger, nullable=False),
    Column("clock_ms", BigInteger, nullable=False),
)

data_keys = Table(
    "slack_data_keys",
    metadata,
    Column("connection_id", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("sealed_key", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)

backups = Table(
    "slack_backups",
    metadata,
    Column("backup_id", Text, primary_key=True),
    Column("format", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("finished_at_ms", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("key_id", Text),
    Index("idx_slack_backups_finished_at", "finished_at_ms"),
)
