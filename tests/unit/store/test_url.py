"""DATABASE_URL in all the forms that people write."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.core.errors import SettingsError
from slack_mcp.store.url import parse_database_url

DATA = Path("data")


@pytest.mark.parametrize(
    ("url", "path", "sqlalchemy_url"),
    [
        ("sqlite:./data/slack.db", "data/slack.db", "sqlite+aiosqlite:///data/slack.db"),
        ("sqlite://./data/slack.db", "data/slack.db", "sqlite+aiosqlite:///data/slack.db"),
        ("sqlite:///srv/slack.db", "/srv/slack.db", "sqlite+aiosqlite:////srv/slack.db"),
        ("sqlite:////srv/slack.db", "/srv/slack.db", "sqlite+aiosqlite:////srv/slack.db"),
        ("sqlite:/srv/slack.db", "/srv/slack.db", "sqlite+aiosqlite:////srv/slack.db"),
        ("SQLite:slack.db", "slack.db", "sqlite+aiosqlite:///slack.db"),
        ("file:./mine.db", "mine.db", "sqlite+aiosqlite:///mine.db"),
        ("file:///srv/mine.db", "/srv/mine.db", "sqlite+aiosqlite:////srv/mine.db"),
        (" sqlite: ", "data/slack.db", "sqlite+aiosqlite:///data/slack.db"),
        (None, "data/slack.db", "sqlite+aiosqlite:///data/slack.db"),
        ("", "data/slack.db", "sqlite+aiosqlite:///data/slack.db"),
    ],
)
def test_sqlite_files(url: str | None, path: str, sqlalchemy_url: str) -> None:
    database = parse_database_url(url, data_dir=DATA)
    assert database.dialect == "sqlite"
    assert database.sqlite_path == Path(path)
    assert database.sqlalchemy_url == sqlalchemy_url
    assert database.dsn is None
    assert database.is_default is (not url)
    assert database.describe() == f"SQLite {Path(path)}"


@pytest.mark.parametrize("url", [":memory:", "sqlite::memory:", "sqlite://:memory:", "file::memory:"])
def test_sqlite_in_memory(url: str) -> None:
    database = parse_database_url(url, data_dir=DATA)
    assert database.sqlite_path is None
    assert database.sqlalchemy_url == "sqlite+aiosqlite:///:memory:"
    assert database.describe() == "SQLite in memory"


@pytest.mark.parametrize(
    ("url", "sqlalchemy_url", "dsn"),
    [
        ("postgres://u:p@h/d", "postgresql+asyncpg://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgresql://u:p%40@h:5433/d", "postgresql+asyncpg://u:p%40@h:5433/d", "postgresql://u:p%40@h:5433/d"),
        ("postgresql+asyncpg://h/d", "postgresql+asyncpg://h/d", "postgresql://h/d"),
        ("postgresql://[::1]:5432/d", "postgresql+asyncpg://[::1]:5432/d", "postgresql://[::1]:5432/d"),
        (
            "postgresql://u@/d?host=/run/my%20pg",
            "postgresql+asyncpg://u@/d?host=/run/my%20pg",
            "postgresql://u@/d?host=/run/my%20pg",
        ),
        (
            "postgresql://h/d?sslmode=require",
            "postgresql+asyncpg://h/d?ssl=require",
            "postgresql://h/d?sslmode=require",
        ),
        (
            "postgresql://h/d?sslmode=verify-ca&sslrootcert=/ca.pem",
            "postgresql+asyncpg://h/d?ssl=verify-ca&dsn=postgresql://%3Fsslrootcert%3D/ca.pem",
            "postgresql://h/d?sslmode=verify-ca&sslrootcert=/ca.pem",
        ),
        (
            "postgresql://h/d?sslrootcert=/ca.pem",
            "postgresql+asyncpg://h/d?ssl=verify-full&dsn=postgresql://%3Fsslrootcert%3D/ca.pem",
            "postgresql://h/d?sslmode=verify-full&sslrootcert=/ca.pem",
        ),
    ],
)
def test_postgresql(url: str, sqlalchemy_url: str, dsn: str) -> None:
    database = parse_database_url(url, data_dir=DATA)
    assert database.dialect == "postgresql"
    assert database.sqlalchemy_url == sqlalchemy_url
    assert database.dsn == dsn
    assert database.sqlite_path is None
    assert not database.is_default


def test_another_scheme_is_refused_in_these_words() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_database_url("mysql://u:canary@h/d", data_dir=DATA)
    assert caught.value.problems == (
        "Unsupported database URL scheme 'mysql'. Supported: sqlite:, file:, postgres://, postgresql://",
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("canary", "has no URL scheme"),
        ("./data/canary.db", "has no URL scheme"),
        ("sqlite:x.db?canary=ro", "without '?'"),
        ("sqlite:./canary/", "names a directory"),
        ("postgresql:canary", "must read postgresql://"),
        ("postgresql://u:canary@h:port/d", "port must be a number"),
        ("postgresql://u:canary/x@h/d", "percent-encoded"),
        ("postgresql://u:can#ary@h/d", "percent-encoded|%23"),
        ("postgresql://u:canary@h:0/d", "port must be"),
        ("postgresql://u:canary@h/d?port=x", "port must be"),
        (
            "postgresql://u:canary@h/d?port=5432&application_name=x&pool=2",
            "unknown query parameters: application_name, pool.",
        ),
        ("postgresql://u:canary@h/d?sslmode=yes", "sslmode must be one of disable, allow"),
        ("postgresql://u:canary@h/d?sslmode=prefer&sslrootcert=/ca.pem", "sslrootcert needs"),
        ("postgresql://u:canary@h1,h2/d", "several hosts"),
        ("postgresql://u:canary@/d?host=h1,h2", "several hosts"),
    ],
)
def test_mistakes_are_told_without_the_password(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        parse_database_url(url, data_dir=DATA, name="DATABASE_LISTEN_URL")
    assert "canary" not in str(caught.value)
    assert "DATABASE_LISTEN_URL" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://user:canary@db.example:5432/slack", "PostgreSQL slack at db.example:5432"),
        ("postgresql://user:canary@/slack?host=/run/pg", "PostgreSQL slack at /run/pg"),
        ("postgresql://", "PostgreSQL (default) at localhost"),
    ],
)
def test_a_database_is_described_without_user_and_password(url: str, said: str) -> None:
    database = parse_database_url(url, data_dir=DATA)
    assert database.describe() == said
    assert "canary" not in repr(database)


@given(st.text() | st.sampled_from(["sqlite:", "postgresql://", "file:"]).flatmap(lambda s: st.text().map(s.__add__)))
def test_no_text_fails_in_another_way(url: str) -> None:
    with suppress(SettingsError):
        assert parse_database_url(url, data_dir=DATA).sqlalchemy_url
