"""Whether a request was signed with a signing secret.

Source: https://docs.slack.dev/authentication/verifying-requests-from-slack.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from slack_mcp.core.errors import SignatureMismatchError, SignatureMissingError, TimestampSkewError

WINDOW_S: Final = 300  # Slack's own advice: "more than five minutes from local time … could be a replay attack"
PREFIX: Final = b"v0="

_SIGNATURE_BYTES: Final = len(PREFIX) + 2 * hashlib.sha256().digest_size
_MAX_TIMESTAMP_DIGITS: Final = 12


class SigningKey:
    """A signing secret, which does not print."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def render_signature(self, timestamp: bytes, body: bytes) -> bytes:
        """Return `v0=` and the hexadecimal HMAC-SHA256 of `v0:timestamp:body`, over the raw bytes."""
        # In one call: an HMAC object that is kept and copied takes several times as long.
        return PREFIX + hmac.digest(self._secret, b"v0:%b:%b" % (timestamp, body), "sha256").hex().encode("ascii")


def verify_signature(
    keys: Sequence[SigningKey],
    *,
    timestamp: bytes | None,
    signature: bytes | None,
    body: bytes,
    now_s: float,
    window_s: float = WINDOW_S,
) -> None:
    """Return when one of the keys signed exactly this body, not longer than `window_s` ago.

    All keys are tried, so that the time taken does not tell which one matched.

    Args:
        keys: the secret in force, and the previous one while it is still accepted.
        timestamp: the bytes of `X-Slack-Request-Timestamp`, None when the header is absent.
        signature: the bytes of `X-Slack-Signature`, None when the header is absent.
        body: the request's bytes as they arrived, before anything was decoded.
        now_s: unix seconds.
        window_s: seconds that the timestamp may be away from `now_s`, in both directions.

    Raises:
        SignatureMissingError: a header is absent or empty.
        TimestampSkewError: the timestamp is outside the window.
        SignatureMismatchError: anything else, including headers that no Slack would send.
    """
    if not timestamp or not signature:
        raise SignatureMissingError
    # `bytes.isdigit` knows ASCII digits only, and the length keeps `int` cheap.
    if len(timestamp) > _MAX_TIMESTAMP_DIGITS or not timestamp.isdigit():
        raise SignatureMismatchError
    skew_s = now_s - int(timestamp)
    if abs(skew_s) > window_s:
        raise TimestampSkewError(skew_s)
    if len(signature) != _SIGNATURE_BYTES:
        raise SignatureMismatchError
    is_match = False
    for key in keys:
        is_match |= hmac.compare_digest(key.render_signature(timestamp, body), signature)
    if not is_match:
        raise SignatureMismatchError
