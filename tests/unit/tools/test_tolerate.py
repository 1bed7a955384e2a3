from typing import Any

import pytest

from slack_mcp.tools.endpoint import _tolerate


def read_headers(*headers: tuple[bytes, bytes]) -> dict[bytes, bytes]:
    scope: dict[str, Any] = {"type": "http", "headers": list(headers)}
    return dict(_tolerate(scope)["headers"])


@pytest.mark.parametrize("version", [b"1999-01-01", b"v999.0.0", b""])
def test_a_version_that_nobody_knows_is_read_as_none(version: bytes) -> None:
    assert b"mcp-protocol-version" not in read_headers((b"mcp-protocol-version", version))


@pytest.mark.parametrize("version", [b"2025-11-25", b"2026-07-28", b" 2025-11-25 \t"])
def test_a_known_version_is_kept(version: bytes) -> None:
    assert read_headers((b"mcp-protocol-version", version))[b"mcp-protocol-version"] == version.strip()


def test_the_stateless_protocol_hears_that_its_version_is_not_known() -> None:
    headers = read_headers((b"mcp-protocol-version", b"2099-01-01"), (b"mcp-method", b"tools/list"))
    assert headers[b"mcp-protocol-version"] == b"2099-01-01"


def test_blanks_behind_a_value_are_no_part_of_it() -> None:
    assert read_headers((b"mcp-name", b"  SLACK_SEND_MESSAGE \t"))[b"mcp-name"] == b"SLACK_SEND_MESSAGE"


def test_any_accept_is_taken() -> None:
    assert read_headers((b"accept", b"text/html"))[b"accept"] == b"application/json, text/event-stream"
