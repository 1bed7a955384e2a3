"""REDIS_URL as people write it, checked. Pure: no client is imported here."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from slack_mcp.core.errors import SettingsError

SCHEMES: Final = {"redis": False, "valkey": False, "rediss": True, "valkeys": True}
PARAMETERS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
DEFAULT_PORT: Final = 6379
MAX_DATABASE: Final = 999
FORM: Final = "redis://user:password@host:6379/0, or rediss:// for TLS"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValkeyUrl:
    """Where Valkey, or Redis, is. Its `repr` and `describe()` never hold the password.

    Attributes:
        is_encrypted: TLS; the server's certificate and host name are checked.
        ssl_ca_certs: file of the authorities that are believed; None believes the system's.
        ssl_certfile, ssl_keyfile: what this client shows of itself.
    """

    host: str
    port: int = DEFAULT_PORT
    database: int = 0
    is_encrypted: bool = False
    username: str | None = field(repr=False, default=None)
    password: str | None = field(repr=False, default=None)
    ssl_ca_certs: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None

    def describe(self) -> str:
        """Return one phrase for logs, without user and password."""
        return f"Valkey {self.database} at {self.host}:{self.port}{' (TLS)' if self.is_encrypted else ''}"


def parse_valkey_url(text: str, *, name: str = "REDIS_URL") -> ValkeyUrl:
    """Return where a URL points.

    Args:
        text: `redis://[user[:password]@]host[:port][/database]`; `rediss://` is TLS; `valkey://`, `valkeys://` are the
            same. With TLS the query may have `ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile`, which name files.
        name: the setting that it came from, for the sentences.

    Raises:
        SettingsError: everything wrong with it; no sentence holds the password.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        problem = (
            f"{name} cannot be read: the port must be a number up to 65535, and special characters in user and "
            "password must be percent-encoded ('/' as %2F, '@' as %40, '#' as %23, '?' as %3F)."
        )
        raise SettingsError([problem]) from None
    is_encrypted = SCHEMES.get(parts.scheme)
    if is_encrypted is None or not parts.hostname:
        raise SettingsError([f"{name} must read {FORM}."])
    database = parts.path.strip("/")
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    problems = []
    if database and not (database.isascii() and database.isdigit() and int(database) <= MAX_DATABASE):
        problems.append(f"{name}: what stands after the host is the number of the database, such as /0.")
    if parts.fragment or port == 0:
        problems.append(f"{name}: the port must not be 0, and '#' in a password must be written %23.")
    if unknown := sorted(set(parameters) - set(PARAMETERS)):
        problems.append(f"{name} has unknown query parameters: {', '.join(unknown)}. Known: {', '.join(PARAMETERS)}.")
    elif parameters and not is_encrypted:
        problems.append(f"{name}: {', '.join(parameters)} is for TLS: write rediss://.")
    if problems:
        raise SettingsError(problems)
    return ValkeyUrl(
        host=parts.hostname,
        port=port or DEFAULT_PORT,
        database=int(database or 0),
        is_encrypted=is_encrypted,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        **{key: value for key, value in parameters.items() if value},
    )
