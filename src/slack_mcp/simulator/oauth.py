"""Tokens that expire, and the method that replaces them.

Source: https://docs.slack.dev/authentication/using-token-rotation and
https://docs.slack.dev/reference/methods/oauth.v2.access.
"""

import base64
import binascii
import secrets
from dataclasses import dataclass

from slack_mcp.simulator.model import Json, SlackRefusalError

METHOD = "oauth.v2.access"
LIFETIME_S = 43_200


@dataclass(slots=True, kw_only=True)
class Rotation:
    """A workspace's bot token that expires.

    Attributes:
        client_id, client_secret: of the app.
        refresh_token: buys the next token, once.
        lifetime_s: how long a token works; may be changed at any time.
        expires_at_s: when the present one stops to, unix seconds; 0 for one that was never given out here.
    """

    client_id: str
    client_secret: str
    refresh_token: str
    lifetime_s: float = LIFETIME_S
    expires_at_s: float

    def renew(self, now_s: float) -> str:
        """Use the refresh token up and return a new bot token."""
        self.refresh_token = f"xoxe-1-{secrets.token_hex(12)}"
        self.expires_at_s = now_s + self.lifetime_s
        return f"xoxe.xoxb-1-{secrets.token_hex(12)}"


def read_client(authorization: str, args: Json) -> tuple[str, str]:
    """Return (client id, client secret), from HTTP Basic or from the arguments."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            client_id, _, client_secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return "", ""
        return client_id, client_secret
    return str(args.get("client_id") or ""), str(args.get("client_secret") or "")


def check(rotation: Rotation | None, client: tuple[str, str], args: Json) -> Rotation:
    """Return the rotation that a request is about. Raises SlackRefusalError.

    Args:
        rotation: that of the refresh token, None for an unknown one.
        client: from `read_client`.
        args: the request's.
    """
    if args.get("grant_type") != "refresh_token":
        raise SlackRefusalError("invalid_grant_type")
    if rotation is None:
        raise SlackRefusalError("invalid_refresh_token")
    if client[0] != rotation.client_id:
        raise SlackRefusalError("invalid_client_id")
    if client[1] != rotation.client_secret:
        raise SlackRefusalError("bad_client_secret")
    return rotation
