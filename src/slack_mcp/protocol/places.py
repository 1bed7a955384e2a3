"""Whether something happened in the connection's own workspace."""

from slack_mcp.core.ids import TeamId
from slack_mcp.core.model import Connection


def is_elsewhere(connection: Connection, team_id: TeamId | None, enterprise_id: str | None) -> bool:
    """Tell whether it happened in a workspace that is not the connection's.

    One app in many workspaces signs for all of them with one secret, so that the signature alone does not tell. A
    connection for a whole organization names the organization (`E…`).
    """
    own = connection.team_id
    return own is not None and (team_id, enterprise_id) != (None, None) and own not in (team_id, enterprise_id)
