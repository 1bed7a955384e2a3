"""Slack's request signature, made rather than checked. Pure.

Over the raw bytes, so that tests can sign bodies that are no UTF-8, and with any text for a timestamp.
https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

import hashlib
import hmac


def sign(body: bytes, secret: str, timestamp: int | str) -> dict[str, str]:
    """Return the two signature headers for a body sent at `timestamp` (unix seconds)."""
    digest = hmac.new(secret.encode(), b"v0:" + str(timestamp).encode() + b":" + body, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": str(timestamp), "X-Slack-Signature": f"v0={digest}"}
