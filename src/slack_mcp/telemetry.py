"""Logs: one line per happening, from our code and from the libraries alike, with nothing secret in them.

JSON unless on a terminal. Lines go to standard error, because standard output belongs to what a command prints.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from slack_mcp.core.secret import MASK, Secret

SECRET_WORDS: Final = frozenset(
    {"token", "tokens", "secret", "secrets", "password", "text", "authorization", "cookie", "credential", "credentials"}
)
SECRET_NAMES: Final = frozenset({"api_key", "apikey", "mesh_api_key"})

# What a secret looks like when it hides inside other text, such as an exception's message.
_SHAPES: Final = (
    (re.compile(r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]+"), MASK),  # https://docs.slack.dev/authentication/tokens
    (re.compile(r"xapp-[A-Za-z0-9-]+"), MASK),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {MASK}"),
    (
        re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"),
        MASK,
    ),  # a JSON object in base64url: a JWT
    (re.compile(r"\bsealed:[A-Za-z0-9_.:=-]+"), MASK),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{8,}"), MASK),
    (re.compile(r"\bsmk_[0-9a-f]{16}_[A-Za-z0-9_-]+"), MASK),  # an API key of ours
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=]+"), MASK),  # https://www.standardwebhooks.com
    (re.compile(r"(https://hooks\.slack(?:-gov)?\.com/)[^\s\"']+"), rf"\1{MASK}"),  # a response_url works for anyone
    (re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*):[^\s\"']+@"), rf"\1:{MASK}@"),
)
# Text without any of these (its case folded) has none of the shapes, and a name without any of those is no secret's:
# one look for them spares nearly every text the others.
_SHAPE_MARKS: Final = re.compile("xox|xapp-|bearer|basic|eyj|sealed:|sk-|smk_|whsec_|://")
_NAME_MARKS: Final = re.compile("token|secret|password|text|auth|cookie|credential|api")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SEPARATORS: Final = re.compile(r"[^a-z0-9]+")


def configure_logging(
    *,
    level: str,
    log_format: Literal["auto", "json", "console"],
    stream: TextIO | None = None,
    keeps_loggers: bool = False,
) -> None:
    """Send every log line of the process through one formatter.

    Args:
        level: the least important level that is written, such as `info`.
        log_format: `auto` chooses by whether the stream is a terminal.
        stream: standard error unless given.
        keeps_loggers: a logger stays as it is from its first line on, which spares a service some time with each line.
    """
    target = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=keeps_loggers,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # Tracebacks become text before the redaction, and never show the values of local variables.
                structlog.processors.format_exc_info,
                structlog.processors.StackInfoRenderer(),
                redact,
                _choose_renderer(log_format, is_terminal=target.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    _calm_libraries(debug=level == "debug")


def redact(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Return the line with everything masked that is named like a secret or looks like one."""
    return {key: _redact_named(key, value) for key, value in event_dict.items()}


def redact_text(text: str) -> str:
    """Return the text with everything masked that looks like a secret."""
    if _SHAPE_MARKS.search(text.casefold()) is None:
        return text
    for shape, mask in _SHAPES:
        text = shape.sub(mask, text)
    return text


def _redact_named(key: object, value: Any) -> Any:
    """Return a value, masked if its name says that it is secret."""
    if isinstance(value, bool | int | float | None):
        return value
    return MASK if is_secret_name(str(key)) else _redact_value(value)


def is_secret_name(name: str) -> bool:
    """Tell whether something of this name is secret: `bot_token`, `signingSecret`, `X-Authorization`, `text`."""
    if _NAME_MARKS.search(name.lower()) is None:
        return False
    plain = _SEPARATORS.sub("_", _CAMEL.sub("_", name).lower()).strip("_")
    return plain in SECRET_NAMES or not SECRET_WORDS.isdisjoint(plain.split("_"))


def _redact_value(value: Any) -> Any:
    """Return a value without what looks like a secret; what is no plain data becomes its masked `repr`."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, Mapping):
        return {redact_text(str(key)): _redact_named(key, item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact_value(item) for item in value]
    return redact_text(repr(value))


def _choose_renderer(log_format: str, *, is_terminal: bool) -> Processor:
    """Return what turns a line into text."""
    if log_format == "json" or (log_format == "auto" and not is_terminal):
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(colors=is_terminal, exception_formatter=structlog.dev.plain_traceback)


_TALKATIVE: Final = (
    "PIL",
    "aiosqlite",
    "alembic",
    "asyncio",
    "httpcore2",
    "httpx2",
    "markdown_it",
    "mcp",
    "openai",
    "pypdf",
    "slack_bolt",
    "slack_sdk",
)


def _calm_libraries(*, debug: bool) -> None:
    """Leave the libraries' own lines where they help and drop the rest."""
    for name in ("uvicorn", "uvicorn.error", "alembic", "slack_sdk", "mcp"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # A line per request would double ours, and name query strings.
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False
    access.disabled = True
    # Ours say the same, and which pod.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    # At debug these print whole requests, tokens and message text included: names and shapes alone would not hold them.
    quiet = logging.INFO if debug else logging.WARNING
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(quiet)
