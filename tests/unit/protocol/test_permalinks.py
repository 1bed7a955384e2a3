import pytest

from slack_mcp.protocol.permalinks import MessagePlace, parse_permalink

LINK = "https://acme.slack.com/archives/C1/p1700000000000100"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (LINK, ("C1", "1700000000.000100", None)),
        (f"<{LINK}>", ("C1", "1700000000.000100", None)),
        (f"{LINK}?thread_ts=1699999999.000100&cid=C1", ("C1", "1700000000.000100", "1699999999.000100")),
        (f"{LINK}?cid=C1&thread_ts=1699999999.000100", ("C1", "1700000000.000100", "1699999999.000100")),
        (f"{LINK}?thread_ts=...", ("C1", "1700000000.000100", None)),
        ("https://acme.slack.com/archives/C1", None),
        ("https://example.com/archives/C1/p1700000000000100", None),
        ("Ev1", None),
    ],
)
def test_a_link_to_a_message_tells_its_place(text: str, place: MessagePlace | None) -> None:
    assert parse_permalink(text) == place
