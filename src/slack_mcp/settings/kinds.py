"""The kinds of value a setting may have, and how each is put into words."""

from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Final, Literal, get_args, get_origin
from urllib.parse import unquote, urlsplit

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator
from pydantic.fields import FieldInfo

from slack_mcp.core.errors import SettingsError
from slack_mcp.core.secret import MASK, Secret
from slack_mcp.sealing import KeyRing

MIN_TOKEN_CHARS: Final = 24
A_WEB_URL: Final = "a URL such as https://host.example"


def setting(
    section: str, name: str, default: Any, description: str, *, unit: str = "", expected: str = "", **limits: Any
) -> Any:
    """Return a field of the table.

    Args:
        section: the heading it stands under in docs/settings.md.
        name: the environment variable.
        default: what holds when the variable is unset or empty.
        description: one or two sentences for docs/settings.md.
        unit: of a number, such as `s` or `bytes`.
        expected: what a value must be, where the type does not tell.
        **limits: `ge`, `gt`, `le` as pydantic takes them.
    """
    if isinstance(default, float):
        limits["allow_inf_nan"] = False
    return Field(
        default,
        validation_alias=name,
        description=description,
        json_schema_extra={"section": section, "unit": unit, "expected": expected, "limits": limits},
        **limits,
    )


def get_extra(field: FieldInfo) -> dict[str, Any]:
    """Return what `setting` noted beside pydantic's own."""
    extra = field.json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}


def get_name(field: FieldInfo) -> str:
    """Return the environment variable of a field."""
    return str(field.validation_alias)


def get_choices(field: FieldInfo) -> tuple[str, ...]:
    """Return the words among which a setting chooses, none for other settings."""
    annotation = field.annotation
    for candidate in (annotation, *get_args(annotation)):
        if get_origin(candidate) is Literal:
            return tuple(str(word) for word in get_args(candidate))
        if isinstance(candidate, type) and issubclass(candidate, StrEnum):
            return tuple(member.value for member in candidate)
    return ()


def is_secret(field: FieldInfo) -> bool:
    """Tell whether a setting is a secret, so that it may also come from a file and is never shown."""
    candidates = (field.annotation, *get_args(field.annotation))
    return any(getattr(candidate, "__origin__", candidate) is Secret for candidate in candidates)


def render_expected(field: FieldInfo) -> str:
    """Return what a setting's value must be, to stand after "must be"."""
    extra = get_extra(field)
    if extra.get("expected"):
        return str(extra["expected"])
    choices = get_choices(field)
    if choices:
        return f"one of {', '.join(choices)}"
    if field.annotation is bool:
        return "true or false"
    if field.annotation in {int, float}:
        noun = "a whole number" if field.annotation is int else "a number"
        return noun + _render_limits(extra.get("limits", {}))
    return "text"


def _render_limits(limits: dict[str, Any]) -> str:
    """Return a number's limits."""
    if "ge" in limits and "le" in limits:
        return f" from {limits['ge']} to {limits['le']}"
    if "gt" in limits:
        return f" above {limits['gt']}"
    return f" of at least {limits['ge']}" if "ge" in limits else ""


def make_secret(value: Any) -> Secret:
    """Return the value as a Secret."""
    return value if isinstance(value, Secret) else Secret(str(value))


def _make_token(name: str, value: Any) -> Secret:
    """Return the token of that setting, unless it can be guessed."""
    token = make_secret(value)
    if len(token.reveal()) < MIN_TOKEN_CHARS:
        raise ValueError(f"{name} must have at least {MIN_TOKEN_CHARS} characters; `openssl rand -hex 32` makes one.")
    return token


def _make_keys(value: Any) -> Secret:
    """Return the keys, unless they cannot be used."""
    keys = make_secret(value)
    try:
        KeyRing.parse(keys.reveal())
    except SettingsError as error:
        raise ValueError(str(error)) from None
    return keys


def parse_headers(text: str) -> dict[str, str]:
    """Return headers; raises ValueError.

    Source: https://opentelemetry.io/docs/specs/otel/protocol/exporter/#specifying-headers-via-environment-variables.
    """
    headers = {}
    for pair in filter(None, (each.strip() for each in text.split(","))):
        name, mark, value = pair.partition("=")
        if not mark or not name.strip():
            raise ValueError("OTEL_EXPORTER_OTLP_HEADERS must be `name=value` with commas between.")
        headers[unquote(name.strip()).lower()] = unquote(value.strip())
    return headers


def _make_headers(value: Any) -> Secret:
    """Return the headers, unless they cannot be read."""
    headers = make_secret(value)
    parse_headers(headers.reveal())
    return headers


def _split(value: Any) -> Any:
    """Return a comma separated text as its parts."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _parse_web_url(value: str) -> str:
    """Return the URL without its last slash."""
    parts = urlsplit(value)
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or "@" in parts.netloc
        or parts.query
        or parts.fragment
    ):
        raise ValueError
    return value.rstrip("/")


def _check_web_url(value: str) -> str:
    """Return the URL as it was written: who compares it letter by letter does so with the last slash."""
    _parse_web_url(value)
    return value


def _parse_web_urls(value: Any) -> tuple[str, ...]:
    """Return the URLs of a list, without their last slashes."""
    return tuple(_parse_web_url(url) for url in _split(value))


def _lower(value: Any) -> Any:
    """Return a word as the choices spell it."""
    return value.lower() if isinstance(value, str) else value


_MASKED = PlainSerializer(lambda _: MASK, return_type=str)

SecretText = Annotated[Secret, PlainValidator(make_secret), _MASKED]
AuthTokenText = Annotated[Secret, PlainValidator(partial(_make_token, "AUTH_TOKEN")), _MASKED]
MetricsTokenText = Annotated[Secret, PlainValidator(partial(_make_token, "METRICS_TOKEN")), _MASKED]
KeysText = Annotated[Secret, PlainValidator(_make_keys), _MASKED]
HeadersText = Annotated[Secret, PlainValidator(_make_headers), _MASKED]
TextList = Annotated[tuple[str, ...], BeforeValidator(_split)]
WebUrl = Annotated[str, BeforeValidator(_parse_web_url)]
ExactWebUrl = Annotated[str, BeforeValidator(_check_web_url)]
ApiUrl = Annotated[str, BeforeValidator(lambda value: _parse_web_url(value) + "/")]  # slack_sdk joins it with a method
WebUrlList = Annotated[tuple[str, ...], BeforeValidator(_parse_web_urls)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]
LogFormat = Annotated[Literal["auto", "json", "console"], BeforeValidator(_lower)]
