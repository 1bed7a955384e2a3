"""Distinct types for the ids that must never be mistaken for one another.

The words are Slack's and Mesh's own: https://docs.slack.dev/reference/objects/ and `connection` as Mesh names a
configured MCP server.
"""

from typing import NewType

ConnectionId = NewType("ConnectionId", str)
"""One tenant: a Slack bot token, a signing secret, an agent and settings. Given by Mesh (`conn_…`) or made by us."""

TeamId = NewType("TeamId", str)
"""A Slack workspace, `T…` (or `E…` for an Enterprise Grid organization)."""

ChannelId = NewType("ChannelId", str)
"""A Slack conversation: `C…` channel, `G…` private channel or group direct message, `D…` direct message."""

UserId = NewType("UserId", str)
"""A Slack user or bot user, `U…` or `W…`."""

EventId = NewType("EventId", str)
"""One Slack event, `Ev…`; the same in every retry of its delivery."""

Ts = NewType("Ts", str)
"""A Slack message timestamp such as `1700000000.000100`: with the channel it is a message's identity. Never a float."""

PodId = NewType("PodId", str)
"""One running process of this service."""
