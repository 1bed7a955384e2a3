"""The deliveries that are replayed: what Slack sends for a message that is not for the bot, signed."""

import json
import time
from dataclasses import dataclass
from typing import Any, Final

from slack_mcp.simulator.signing import sign

CHANNELS: Final = 20
FIRST_TS: Final = 1_700_000_000
TEXT: Final = "Shall we move the release to Thursday? The migration took longer than we thought, and QA wants a day."
USER_AGENT: Final = "Slackbot 1.0 (+https://api.slack.com/robots)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A workspace as the load generator sees it.

    Attributes:
        path: where its deliveries are posted.
        secret: signs them.
    """

    team_id: str
    path: str
    secret: str


def make_event(tenant: Tenant, event_id: str, number: int) -> dict[str, Any]:
    """Return the envelope of a channel message, a thread of its own as most messages are.

    Source: https://docs.slack.dev/reference/events/message.channels and https://docs.slack.dev/apis/events-api.
    """
    ts = f"{FIRST_TS + number}.000100"
    element = {"type": "rich_text_section", "elements": [{"type": "text", "text": TEXT}]}
    return {
        "token": "deprecated-verification-token",
        "team_id": tenant.team_id,
        "context_team_id": tenant.team_id,
        "context_enterprise_id": None,
        "api_app_id": "ABENCH",
        "event": {
            "type": "message",
            "user": "UANN",
            "ts": ts,
            "client_msg_id": "6d1b9c6e-2f0a-4f7e-9a43-0f2f5c1f8a11",
            "text": TEXT,
            "team": tenant.team_id,
            "blocks": [{"type": "rich_text", "block_id": "b1", "elements": [element]}],
            "channel": f"CBENCH{number % CHANNELS}",
            "event_ts": ts,
            "channel_type": "channel",
        },
        "type": "event_callback",
        "event_id": event_id,
        "event_time": int(time.time()),
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": tenant.team_id,
                "user_id": "UBOT",
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": False,
        "event_context": "4-eyJldCI6Im1lc3NhZ2UifQ",
    }


def make_request(tenant: Tenant, body: bytes, *, host: str, timestamp: int) -> bytes:
    """Return a whole HTTP request with the headers that Slack sends, signed at `timestamp` (unix seconds)."""
    headers = {
        "Host": host,
        "User-Agent": USER_AGENT,
        "Accept-Encoding": "gzip,deflate",
        "Accept": "*/*",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **sign(body, tenant.secret, timestamp),
    }
    lines = [f"POST {tenant.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def make_requests(tenants: list[Tenant], *, prefix: str, count: int, host: str, timestamp: int) -> list[bytes]:
    """Return `count` requests, the tenants in turn, each event with an id of its own that starts with `prefix`."""
    requests = []
    for number in range(count):
        tenant = tenants[number % len(tenants)]
        body = json.dumps(make_event(tenant, f"{prefix}{number}", number), separators=(",", ":")).encode()
        requests.append(make_request(tenant, body, host=host, timestamp=timestamp))
    return requests
