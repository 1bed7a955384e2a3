"""DATABASE_URL as people write it, turned into what engine and driver take. Pure: no driver is imported here."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from slack_mcp.core.errors import SettingsError

Dialect = Literal["sqlite", "postgresql"]

SUPPORTED: Final = "Supported: sqlite:, file:, postgres://, postgresql://"
POSTGRESQL_SCHEMES: Final = frozenset({"postgres", "postgresql", "postgresql+asyncpg"})
SQLITE_SCHEMES: Final = frozenset({"sqlite", "file"})
SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
POSTGRESQL_PARAMETERS: Final = ("host", "port", "sslmode", "sslrootcert")
DEFAULT_FILE_NAME: Final = "slack.db"
MEMORY: Final = ":memory:"
MAX_PORT: Final = 65535
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,29}):")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseUrl:
    """Where the data lives. Its `repr` and `describe()` never hold the password.

    Attributes:
        sqlalchemy_url: for `create_async_engine`; TLS is in its query, as asyncpg's own arguments.
        dsn: for `asyncpg.connect(dsn=…)` without the engine (LISTEN); None for SQLite.
        sqlite_path: the database file; None for PostgreSQL and for a database in memory.
        is_default: nobody chose a database: it is the file under the data directory.
    """

    dialect: Dialect
    sqlalchemy_url: str = field(repr=False)
    dsn: str | None = field(repr=False, default=None)
    sqlite_path: Path | None = None
    is_default: bool = False

    def describe(self) -> str:
        """Return one phrase for logs: the file, or server and database, without user and password."""
        if self.dialect == "sqlite":
            return f"SQLite {self.sqlite_path or 'in memory'}"
        parts = urlsplit(self.dsn or "")
        host = parts.netloc.rpartition("@")[2] or dict(parse_qsl(parts.query)).get("host", "localhost")
        return f"PostgreSQL {parts.path.lstrip('/') or '(default)'} at {host}"


def parse_database_url(url: str | None, *, data_dir: Path, name: str = "DATABASE_URL") -> DatabaseUrl:
    """Return the database that a URL names.

    Args:
        url: one of `sqlite:` (with `./file`, `//./file`, `///absolute/file` or `:memory:`), `file:` (the same),
            `:memory:`, `postgres://…`, `postgresql://…`; None or empty means `slack.db` under `data_dir`.
        data_dir: where the default SQLite file lies.
        name: the setting that the URL came from, for the sentences.

    Raises:
        SettingsError: the URL is none of these; the sentence never holds its password.
    """
    text = (url or "").strip()
    if not text:
        return _sqlite(data_dir / DEFAULT_FILE_NAME, is_default=True)
    if text == MEMORY:
        return _sqlite(None)
    found = _SCHEME.match(text)
    if found is None:
        raise SettingsError([f"{name} has no URL scheme. {SUPPORTED}"])
    scheme, rest = found[1].lower(), text[found.end() :]
    if scheme in SQLITE_SCHEMES:
        return _parse_sqlite(rest, data_dir=data_dir, name=name)
    if scheme in POSTGRESQL_SCHEMES:
        return _parse_postgresql(rest, name=name)
    raise SettingsError([f"Unsupported database URL scheme '{found[1]}'. {SUPPORTED}"])


def _parse_sqlite(rest: str, *, data_dir: Path, name: str) -> DatabaseUrl:
    """Return a SQLite database: what stands after the scheme, and after `//` if there is one, is the path."""
    path = rest.removeprefix("//")
    if path == MEMORY:
        return _sqlite(None)
    if not path:
        return _sqlite(data_dir / DEFAULT_FILE_NAME)
    if "?" in path or "#" in path:
        raise SettingsError([f"{name}: a SQLite URL is a path without '?' and '#'; remove what follows them."])
    if path.endswith("/"):
        raise SettingsError([f"{name} names a directory; add the file's name, such as sqlite:./data/slack.db."])
    return _sqlite(Path("/" + path.lstrip("/") if path.startswith("/") else path))


def _sqlite(path: Path | None, *, is_default: bool = False) -> DatabaseUrl:
    """Return a file's, or the memory's, database."""
    return DatabaseUrl(
        dialect="sqlite",
        sqlalchemy_url=f"sqlite+aiosqlite:///{path or MEMORY}",
        sqlite_path=path,
        is_default=is_default,
    )


def _parse_postgresql(rest: str, *, name: str) -> DatabaseUrl:
    """Return a PostgreSQL database.

    libpq's `sslmode` becomes asyncpg's `ssl`, which takes the same words; `sslrootcert` exists for asyncpg only inside
    a DSN, so it travels as one: https://magicstack.github.io/asyncpg/current/api/index.html#asyncpg.connection.connect
    """
    if not rest.startswith("//"):
        raise SettingsError([f"{name} must read postgresql://user:password@host:5432/database."])
    try:
        parts = urlsplit("postgresql:" + rest)
        port = parts.port
    except ValueError:
        problem = (
            f"{name} cannot be read: the port must be a number from 1 to {MAX_PORT}, and special characters in user "
            "and password must be percent-encoded ('/' as %2F, '@' as %40, '#' as %23, '?' as %3F)."
        )
        raise SettingsError([problem]) from None
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    problems = _check_postgresql(parameters, name=name, fragment=parts.fragment, hosts=parts.netloc, port=port)
    if problems:
        raise SettingsError(problems)
    root_cert = parameters.pop("sslrootcert", None)
    mode = parameters.pop("sslmode", "verify-full" if root_cert else None)
    place = f"//{parts.netloc}{parts.path}"
    for_dsn, for_engine = dict(parameters), dict(parameters)
    if mode:
        for_dsn["sslmode"] = for_engine["ssl"] = mode
    if root_cert:
        for_dsn["sslrootcert"] = root_cert
        for_engine["dsn"] = "postgresql://?" + _render_query({"sslrootcert": root_cert})
    return DatabaseUrl(
        dialect="postgresql",
        sqlalchemy_url=_join(f"postgresql+asyncpg:{place}", for_engine),
        dsn=_join(f"postgresql:{place}", for_dsn),
    )


def _check_postgresql(
    parameters: dict[str, str], *, name: str, fragment: str, hosts: str, port: int | None
) -> Sequence[str]:
    """Return the mistakes in a PostgreSQL URL."""
    problems = []
    if fragment:
        problems.append(f"{name}: '#' in a password must be written %23.")
    if "," in hosts.rpartition("@")[2] or "," in parameters.get("host", ""):
        problems.append(f"{name} names several hosts; name one (a pooler or a virtual address for several servers).")
    if port == 0 or ("port" in parameters and not _is_port(parameters["port"])):
        problems.append(f"{name}: the port must be a number from 1 to {MAX_PORT}.")
    unknown = sorted(set(parameters) - set(POSTGRESQL_PARAMETERS))
    if unknown:
        known = ", ".join(POSTGRESQL_PARAMETERS)
        problems.append(f"{name} has unknown query parameters: {', '.join(unknown)}. Known are {known}.")
    if parameters.get("sslmode", SSL_MODES[0]) not in SSL_MODES:
        problems.append(f"{name}: sslmode must be one of {', '.join(SSL_MODES)}.")
    if parameters.get("sslrootcert") and parameters.get("sslmode") in {"disable", "allow", "prefer"}:
        problems.append(f"{name}: sslrootcert needs sslmode=require, verify-ca or verify-full.")
    return problems


def _is_port(text: str) -> bool:
    """Tell whether a text is a port number."""
    return text.isascii() and text.isdigit() and 0 < int(text) <= MAX_PORT


def _join(base: str, parameters: dict[str, str]) -> str:
    """Return the URL with its query."""
    return f"{base}?{_render_query(parameters)}" if parameters else base


def _render_query(parameters: dict[str, str]) -> str:
    """Return a query string in which a blank is %20: not every reader takes '+' for one."""
    return urlencode(parameters, quote_via=quote, safe="/:")
