"""Signed webhooks, as https://www.standardwebhooks.com has them."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Final

from slack_mcp.core.secret import Secret

PREFIX: Final = "whsec_"
KEY_BYTES: Final = 32  # the specification asks for 24 to 64


def make_secret() -> Secret:
    """Return a new key, as its owner is shown it: `whsec_` and base64."""
    return Secret(PREFIX + base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode())


def render_headers(secret: Secret, *, message_id: str, timestamp_s: int, body: bytes) -> Mapping[str, str]:
    """Return the headers that prove a body.

    Args:
        secret: `whsec_…`.
        message_id: the same in every attempt; the receiver passes over one that it has taken already.
        timestamp_s: unix seconds of this attempt.
        body: exactly as it is sent.
    """
    key = base64.b64decode(secret.reveal().removeprefix(PREFIX))
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp_s, body)
    digest = hmac.digest(key, signed, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
