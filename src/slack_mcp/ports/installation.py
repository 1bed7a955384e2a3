"""What is left of a connection when Slack has taken its tokens back."""

from typing import Protocol

from slack_mcp.core.model import Connection


class InstallationStore(Protocol):
    """Takes out of the database what belonged to an installation. Every method may raise `StoreUnavailableError`."""

    async def disconnect(self, connection: Connection) -> bool:
        """Destroy the connection's data key, delete its conversations and tokens, disable it, and announce that.

        What is not the workspace's stays, sealed anew: the signing secret, which is the app's and verifies whatever
        Slack still sends, Mesh's tokens, settings and triggers. The next save connects it again.

        Returns:
            False when the connection was changed since it was read, or is gone: nothing was done then.
        """
        ...

    async def drop_user_token(self, connection: Connection) -> bool:
        """Forget the user token, and announce that; False as for `disconnect`."""
        ...
