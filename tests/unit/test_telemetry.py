"""No secret gets into a log line, whichever way it tries."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.core.secret import MASK, Secret
from slack_mcp.telemetry import (
    _CAMEL,
    _NAME_MARKS,
    _SEPARATORS,
    _SHAPE_MARKS,
    _SHAPES,
    SECRET_NAMES,
    SECRET_WORDS,
    configure_logging,
    is_secret_name,
    redact,
    redact_text,
)

CANARIES = [
    "xoxb-1234-canary",
    "xoxp-canary",
    "xoxe.xoxb-1-canary",
    "xapp-1-A1-canary",
    "Bearer canary0123456789",
    "bearer canary.canary-canary",
    "Basic Y2FuYXJ5OmNhbmFyeQ==",
    "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOjF9.canary-canary",
    "sealed:v1:canary:Y2FuYXJ5canary==",
    "sk-proj-canary0123456789",
    "https://hooks.slack.com/commands/T1/canary",
    "postgresql://user:canary@host/db",
    "postgresql+asyncpg://user:can/ary:canary@host/db",
    "redis://:canary@host",
]


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = False
    structlog.reset_defaults()


def _log_to(log_format: Any = "json", level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    configure_logging(level=level, log_format=log_format, stream=stream)
    return stream


def _fail(message: str) -> None:
    raise RuntimeError(message)


@pytest.mark.parametrize("hidden", CANARIES)
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_what_looks_like_a_secret_is_masked_everywhere(hidden: str, log_format: str) -> None:
    stream = _log_to(log_format)
    logger = structlog.stdlib.get_logger("ours")
    try:
        _fail(f"it was {hidden}")
    except RuntimeError:
        logger.exception("turn.failed", note=f"got {hidden}!", deep={"list": [hidden, (hidden,)], hidden: 1})
        logging.getLogger("theirs").exception("failed with %s", hidden)
    logger.info(hidden, odd=ValueError(hidden))
    logging.getLogger("theirs").warning("failed", extra={"unseen": hidden})
    written = stream.getvalue()
    assert "canary" not in written
    assert "RuntimeError" in written
    assert MASK in written


@pytest.mark.parametrize(
    "name",
    ["token", "bot_token", "signingSecret", "password", "text", "Authorization", "X-Auth-Token", "api_key", "Cookie"],
)
def test_what_is_named_like_a_secret_is_masked(name: str) -> None:
    stream = _log_to()
    structlog.stdlib.get_logger("ours").info("event", **{name: "canary", "inside": [{name: ["canary"]}]})
    written = json.loads(stream.getvalue())
    assert written[name] == MASK
    assert written["inside"] == [{name: MASK}]


@pytest.mark.parametrize("name", ["context", "connection_id", "event_id", "author", "authority", "textile"])
def test_other_names_are_left_alone(name: str) -> None:
    assert not is_secret_name(name)


def test_counts_of_tokens_are_numbers_and_stay() -> None:
    assert redact(None, "info", {"tokens": 12, "text": None}) == {"tokens": 12, "text": None}


def test_a_secret_is_masked_as_a_value_too() -> None:
    stream = _log_to()
    structlog.stdlib.get_logger("ours").info("event", value=Secret("canary"), values={Secret("canary")})
    assert "canary" not in stream.getvalue()
    assert json.loads(stream.getvalue())["value"] == MASK


def test_a_traceback_shows_no_local_variables() -> None:
    stream = _log_to()
    plain = "quiet" + "canary"
    try:
        _fail("no secret here")
    except RuntimeError:
        structlog.stdlib.get_logger("ours").exception("turn.failed", size=len(plain))
    assert "quietcanary" not in stream.getvalue()
    assert "no secret here" in json.loads(stream.getvalue())["exception"]


def test_lines_of_libraries_have_the_same_form() -> None:
    stream = _log_to()
    logging.getLogger("uvicorn.error").warning("started on %d", 80)
    structlog.stdlib.get_logger("ours").warning("event", connection_id="conn_a")
    theirs, ours = (json.loads(line) for line in stream.getvalue().splitlines())
    assert theirs["event"] == "started on 80"
    assert theirs["logger"] == "uvicorn.error"
    assert set(theirs) == {"event", "level", "logger", "timestamp"}
    assert set(ours) == {"event", "level", "logger", "timestamp", "connection_id"}


def test_the_level_holds_and_access_lines_are_off() -> None:
    stream = _log_to(level="warning")
    structlog.stdlib.get_logger("ours").info("event")
    logging.getLogger("uvicorn.access").error("GET /?token=canary")
    assert stream.getvalue() == ""


def test_libraries_that_print_requests_at_debug_are_kept_from_it() -> None:
    stream = _log_to(level="debug")
    logging.getLogger("slack_sdk.web.async_base_client").debug("sending canary")
    logging.getLogger("ours").debug("seen")
    assert "canary" not in stream.getvalue()
    assert "seen" in stream.getvalue()


def test_configuring_twice_writes_each_line_once() -> None:
    _log_to()
    stream = _log_to()
    logging.getLogger("ours").info("once")
    assert stream.getvalue().count("once") == 1


def test_a_terminal_gets_text_and_a_pipe_gets_json() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    configure_logging(level="info", log_format="auto", stream=stream)
    logging.getLogger("ours").info("event")
    assert not stream.getvalue().startswith("{")
    piped = _log_to("auto")
    logging.getLogger("ours").info("event")
    assert json.loads(piped.getvalue())["event"] == "event"


@given(st.text(), st.sampled_from(CANARIES), st.text())
def test_no_surrounding_text_lets_a_token_through(before: str, canary: str, after: str) -> None:
    masked = redact_text(f"{before} {canary} {after}")
    assert masked == redact_text(masked) or MASK in masked
    assert canary not in masked


@given(st.data())
def test_whatever_has_the_shape_of_a_secret_has_a_mark_of_one(data: st.DataObject) -> None:
    shape, _mask = data.draw(st.sampled_from(_SHAPES))
    text = data.draw(st.from_regex(shape))

    assert _SHAPE_MARKS.search(text.casefold())


@given(st.data())
def test_whatever_is_named_like_a_secret_has_a_mark_of_one(data: st.DataObject) -> None:
    word = data.draw(st.sampled_from(sorted(SECRET_WORDS | SECRET_NAMES)))
    letters = [data.draw(st.sampled_from((letter, letter.upper()))) for letter in word]
    around = st.text(st.characters() | st.sampled_from("_-A")) | st.just("")
    name = data.draw(around) + "".join(letters) + data.draw(around)
    plain = _SEPARATORS.sub("_", _CAMEL.sub("_", name).lower()).strip("_")

    named = plain in SECRET_NAMES or not SECRET_WORDS.isdisjoint(plain.split("_"))
    assert is_secret_name(name) == named
    assert not named or _NAME_MARKS.search(name.lower())
