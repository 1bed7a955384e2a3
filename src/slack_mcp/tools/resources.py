"""What the reading tools show, as resources: what a person attaches to a conversation, or an application reads.

Each resource is one call of a tool, so that it shows the same, needs the same scopes, and is no resource where the
policy denies the tool. Source: https://modelcontextprotocol.io/specification/2025-11-25/server/resources.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from mcp import MCPError, types
from mcp.server.context import ServerRequestContext
from mcp.shared.uri_template import UriTemplate

from slack_mcp.core.errors import InvalidInputError, SlackRefusedError
from slack_mcp.core.model import Connection
from slack_mcp.ports.names import NameKind
from slack_mcp.tools.admission import admit
from slack_mcp.tools.advice import is_refusal
from slack_mcp.tools.call import Call, Services
from slack_mcp.tools.caller import current_caller
from slack_mcp.tools.errors import render_error
from slack_mcp.tools.fields import TS_PATTERN
from slack_mcp.tools.requests import Requests
from slack_mcp.tools.tool import Tool

MAX_URI_CHARS: Final = 500
TEAM: Final = "team"
_MARKDOWN: Final = "text/markdown"
# Nobody is written to for a resource: an id, or a name, which has no capital letters, and never a person, for whom a
# direct message would be opened.
_CHANNEL: Final = re.compile(r"[CGD][A-Z0-9]{5,}|#?[^\sA-Z@#<>:/]{1,80}")
_GONE: Final = ("channel_not_found", "thread_not_found", "message_not_found", "file_not_found", "file_deleted")

Variables = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceKind:
    """One kind of resources.

    Attributes:
        template: with `{team}`, and `{id}` and `{ts}` where there is one for each thing.
        tool: the tool that reads it.
        arguments: makes the tool's arguments out of the URI's variables.
        patterns: what the variables must be.
        names: whose names complete a variable.
        mime_type: None where it depends on the thing.
    """

    template: UriTemplate
    name: str
    title: str
    description: str
    tool: str
    arguments: Callable[[Variables], dict[str, Any]]
    patterns: Mapping[str, re.Pattern[str]]
    names: Mapping[str, NameKind]
    mime_type: str | None = _MARKDOWN

    @property
    def is_template(self) -> bool:
        """Whether there is one for each thing, not one for each team."""
        return bool(self.patterns)

    def match(self, uri: str, connection: Connection) -> Variables | None:
        """Return the variables of a URI that is of this kind and of this connection's team, else None."""
        found = self.template.match(uri)
        if found is None:
            return None
        variables = {name: value for name, value in found.items() if isinstance(value, str)}
        # Some clients write what stands where a URL has its host in lower case.
        if connection.team_id is None or variables[TEAM].casefold() != connection.team_id.casefold():
            return None
        is_good = all(pattern.fullmatch(variables[name]) for name, pattern in self.patterns.items())
        return variables if is_good else None


KINDS: Final = (
    ResourceKind(
        template=UriTemplate.parse("slack://{team}/channels"),
        name="channels",
        title="Channels",
        description="The workspace's channels: all public ones, and the private ones the bot is in.",
        tool="SLACK_LIST_CHANNELS",
        arguments=lambda _: {"limit": 200},
        patterns={},
        names={},
    ),
    ResourceKind(
        template=UriTemplate.parse("slack://{team}/users"),
        name="users",
        title="People",
        description="The people of the workspace.",
        tool="SLACK_LIST_USERS",
        arguments=lambda _: {"limit": 200},
        patterns={},
        names={},
    ),
    ResourceKind(
        template=UriTemplate.parse("slack://{team}/channel/{id}"),
        name="channel",
        title="Messages of a channel",
        description="A channel's last messages, newest first. id: the channel's id or name.",
        tool="SLACK_GET_CHANNEL_HISTORY",
        arguments=lambda variables: {"channel": variables["id"], "limit": 50},
        patterns={"id": _CHANNEL},
        names={"id": NameKind.CHANNEL},
    ),
    ResourceKind(
        template=UriTemplate.parse("slack://{team}/channel/{id}/thread/{ts}"),
        name="thread",
        title="Messages of a thread",
        description="A thread, oldest first. id: the channel's id or name; ts: of the thread's first message.",
        tool="SLACK_GET_THREAD_REPLIES",
        arguments=lambda variables: {"channel": variables["id"], "thread_ts": variables["ts"], "limit": 100},
        patterns={"id": _CHANNEL, "ts": re.compile(TS_PATTERN)},
        names={"id": NameKind.CHANNEL},
    ),
    ResourceKind(
        template=UriTemplate.parse("slack://{team}/file/{id}"),
        name="file",
        title="A file",
        description="What is in a file: text, an image, or bytes. id: the file's id.",
        tool="SLACK_DOWNLOAD_FILE",
        arguments=lambda variables: {"file_id": variables["id"]},
        patterns={"id": re.compile(r"F[A-Z0-9]{5,30}")},
        names={},
        mime_type=None,
    ),
)


class Resources:
    """Lists and reads the resources.

    Args:
        requests: says who asks.
        services: what the tools work with.
        tools: those there are.
    """

    def __init__(self, requests: Requests, services: Services, tools: Sequence[Tool[Any, Any]]) -> None:
        self._requests = requests
        self._services = services
        self._tools = {tool.name: tool for tool in tools}

    async def list_resources(
        self, ctx: ServerRequestContext[Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """Return the lists of the caller's team; none to somebody who does not say who he is."""
        return await self._requests.answer(ctx.method, self._list_resources)

    async def list_templates(
        self, ctx: ServerRequestContext[Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        """Return the templates of what the caller can read; all to somebody who does not say who he is."""
        return await self._requests.answer(ctx.method, self._list_templates)

    async def read(
        self, ctx: ServerRequestContext[Any], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """Return what a resource holds, as much as its tool shows at once, and how to go on."""
        return await self._requests.answer(ctx.method, partial(self._read, params.uri))

    async def _list_resources(self) -> types.ListResourcesResult:
        visitor = await self._requests.find_visitor()
        if visitor is None or visitor.connection.team_id is None:
            return types.ListResourcesResult(resources=[])
        team_id, team_name = visitor.connection.team_id, visitor.connection.team_name
        return types.ListResourcesResult(
            resources=[
                types.Resource(
                    uri=kind.template.expand({TEAM: team_id}),
                    name=kind.name,
                    title=f"{kind.title} of {team_name}" if team_name else kind.title,
                    description=kind.description,
                    mime_type=kind.mime_type,
                )
                for kind in KINDS
                if not kind.is_template and kind.tool in visitor.tools
            ]
        )

    async def _list_templates(self) -> types.ListResourceTemplatesResult:
        usable = {tool.name for tool in await self._requests.find_tools()}
        return types.ListResourceTemplatesResult(
            resource_templates=[
                types.ResourceTemplate(
                    uri_template=kind.template.template,
                    name=kind.name,
                    title=kind.title,
                    description=kind.description,
                    mime_type=kind.mime_type,
                )
                for kind in KINDS
                if kind.is_template and kind.tool in usable
            ]
        )

    async def _read(self, uri: str) -> types.ReadResourceResult:
        visitor = await self._requests.identify()
        kind, variables = self._find(uri, visitor.connection)
        tool = self._tools[kind.tool]
        admit(tool, visitor.principal, visitor.connection)
        call = Call(
            services=self._services,
            caller=current_caller.get(),
            tool=tool.name,
            access=tool.access,
            identity=(visitor.principal, visitor.connection),
        )
        given = kind.arguments(variables)
        arguments = tool.parse(given)
        try:
            result = await tool.run(call, arguments)
        except InvalidInputError as error:
            raise _not_found(uri, render_error(error)) from None
        except SlackRefusedError as error:
            if not is_refusal(error, *_GONE):
                raise
            raise _not_found(uri, render_error(error)) from None
        following = result.dump().get("next_cursor")
        named = ", ".join(f"{name} {value}" for name, value in given.items())
        further = f"\n\nTo go on: {tool.name} with {named} and this cursor." if following else ""
        return types.ReadResourceResult(
            contents=_make_contents(uri, kind.mime_type or "text/plain", result.render_content(arguments), further)
        )

    def _find(self, uri: str, connection: Connection) -> tuple[ResourceKind, Variables]:
        """Return (kind, variables). Another team's resource is not found like one that there is not."""
        if len(uri) <= MAX_URI_CHARS:
            for kind in KINDS:
                variables = kind.match(uri, connection) if kind.tool in self._tools else None
                if variables is not None:
                    return kind, variables
        raise _not_found(
            uri[:MAX_URI_CHARS],
            "There is no such resource: resources/list and resources/templates/list show what there is.",
        )


def _not_found(uri: str, text: str) -> MCPError:
    """Return the error: https://modelcontextprotocol.io/seps/2164-resource-not-found-error."""
    return MCPError(types.INVALID_PARAMS, text, {"uri": uri})


def _make_contents(
    uri: str, mime_type: str, blocks: Sequence[types.ContentBlock], further: str
) -> list[types.TextResourceContents | types.BlobResourceContents]:
    """Return the bytes where there are some, else the text."""
    contents: list[types.TextResourceContents | types.BlobResourceContents] = []
    for block in blocks:
        if isinstance(block, types.ImageContent):
            contents.append(types.BlobResourceContents(uri=uri, mime_type=block.mime_type, blob=block.data))
        elif isinstance(block, types.EmbeddedResource):
            contents.append(block.resource.model_copy(update={"uri": uri}))
    if contents:
        return contents
    texts = [block.text for block in blocks if isinstance(block, types.TextContent)]
    return [types.TextResourceContents(uri=uri, mime_type=mime_type, text="\n".join(texts) + further)]
