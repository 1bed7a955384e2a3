"""REDIS_URL is taken as people write it, and what is wrong with it is said without its password."""

import pytest

from slack_mcp.core.errors import SettingsError
from slack_mcp.valkey.url import ValkeyUrl, parse_valkey_url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://h", ValkeyUrl(host="h")),
        ("valkey://h:1/", ValkeyUrl(host="h", port=1)),
        (" redis://:p%40ss@h:7000/2 ", ValkeyUrl(host="h", port=7000, database=2, password="p@ss")),
        ("rediss://u:p@h", ValkeyUrl(host="h", username="u", password="p", is_encrypted=True)),
        (
            "valkeys://[::1]:6380?ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem",
            ValkeyUrl(
                host="::1",
                port=6380,
                is_encrypted=True,
                ssl_ca_certs="/ca.pem",
                ssl_certfile="/c.pem",
                ssl_keyfile="/k.pem",
            ),
        ),
    ],
)
def test_it_is_read(text: str, expected: ValkeyUrl) -> None:
    assert parse_valkey_url(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("h:6379", "must read"),
        ("http://canary@h", "must read"),
        ("redis://", "must read"),
        ("redis://u:canary/x@h", "percent-encoded"),
        ("redis://u:canary@h:70000", "a number up to 65535"),
        ("redis://u:canary@h:0", "must not be 0"),
        ("redis://u:canary@h/one", "the number of the database"),
        ("redis://u:canary@h?timeout=3", "unknown query parameters: timeout"),
        ("redis://u:canary@h?ssl_ca_certs=/ca.pem", "write rediss://"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem) as caught:
        parse_valkey_url(text)
    assert "canary" not in str(caught.value)


def test_nothing_that_is_printed_holds_the_password() -> None:
    url = parse_valkey_url("rediss://user:canary@h:6380/1")
    assert url.describe() == "Valkey 1 at h:6380 (TLS)"
    assert "canary" not in repr(url)
