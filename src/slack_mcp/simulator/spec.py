"""Makes a simulator from a JSON description, for a simulator that runs as its own process."""

from collections.abc import Mapping
from typing import Any

from slack_mcp.simulator.limits import Limits, StreamRules
from slack_mcp.simulator.simulator import Simulator
from slack_mcp.simulator.workspace import Workspace

SIMULATOR_FIELDS = ("targets", "time_scale", "timeout_s", "concurrency", "deliver_bot_messages")


RULES = ("limits", "stream_rules", "has_agent_view")


def change_rules(workspace: Workspace, rules: Mapping[str, Any]) -> None:
    """Change what a JSON object names of a workspace's rules. Raises TypeError for a field that they have not."""
    if "limits" in rules:
        workspace.limits = None if rules["limits"] is None else Limits(**rules["limits"])
    if "stream_rules" in rules:
        workspace.stream_rules = StreamRules(**rules["stream_rules"])
    if "has_agent_view" in rules:
        workspace.has_agent_view = bool(rules["has_agent_view"])


def build_simulator(spec: Mapping[str, Any]) -> Simulator:
    """Return the simulator described by a spec.

    Args:
        spec: `{workspaces: [{…arguments of Workspace…, limits?, stream_rules?, has_agent_view?,
            users: [{user_id, name}], channels: [{channel_id, name?, kind?, members?, is_ext_shared?}],
            user_tokens: [{user_id, token, scopes?}]}], targets?, time_scale?, timeout_s?, concurrency?,
            deliver_bot_messages?}`.

    Raises:
        TypeError: a field is missing or unknown.
        ValueError: two workspaces share a team id or a token.
    """
    unknown = set(spec) - {"workspaces", *SIMULATOR_FIELDS}
    if unknown:
        raise TypeError(f"unknown fields in the spec: {', '.join(sorted(unknown))}")
    simulator = Simulator(**{name: spec[name] for name in SIMULATOR_FIELDS if name in spec})
    for described in spec.get("workspaces", ()):
        fields = dict(described)
        users, channels = fields.pop("users", ()), fields.pop("channels", ())
        user_tokens = fields.pop("user_tokens", ())
        rules = {name: fields.pop(name) for name in RULES if name in fields}
        workspace = simulator.add_workspace(Workspace(**fields))
        change_rules(workspace, rules)
        for user in users:
            workspace.add_user(**user)
        for channel in channels:
            workspace.add_channel(**channel)
        for user_token in user_tokens:
            workspace.add_user_token(**user_token)
    return simulator
