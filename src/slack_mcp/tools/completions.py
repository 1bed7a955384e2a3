"""Completions: names of channels and people while somebody types them.

Source: https://modelcontextprotocol.io/specification/2025-11-25/server/utilities/completion.
"""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from mcp import MCPError, types
from mcp.server.context import ServerRequestContext

from slack_mcp.ports.names import NameKind
from slack_mcp.tools.call import Services
from slack_mcp.tools.prompts import find_prompt
from slack_mcp.tools.requests import Requests, Visitor
from slack_mcp.tools.resources import KINDS, TEAM

MAX_VALUES: Final = 100
MAX_TYPED_CHARS: Final = 300
# Who may not list names is not told any.
_LISTS: Final[Mapping[NameKind, str]] = MappingProxyType(
    {NameKind.CHANNEL: "SLACK_LIST_CHANNELS", NameKind.USER: "SLACK_LIST_USERS"}
)
_SIGNS: Final[Mapping[NameKind, str]] = MappingProxyType({NameKind.CHANNEL: "#", NameKind.USER: "@"})


class Completions:
    """Completes arguments of prompts, and variables of resource templates.

    Args:
        requests: says who asks.
        services: what the tools work with.
    """

    def __init__(self, requests: Requests, services: Services) -> None:
        self._requests = requests
        self._services = services

    async def complete(
        self, ctx: ServerRequestContext[Any], params: types.CompleteRequestParams
    ) -> types.CompleteResult:
        """Return what the argument may become, the likeliest first; nothing for what has no names."""
        return await self._requests.answer(ctx.method, partial(self._complete, params))

    async def _complete(self, params: types.CompleteRequestParams) -> types.CompleteResult:
        visitor = await self._requests.identify()
        name, typed = params.argument.name, params.argument.value
        is_prompt = isinstance(params.ref, types.PromptReference)
        if isinstance(params.ref, types.PromptReference):
            kinds: Mapping[str, NameKind | None] = {
                each.name: each.names for each in find_prompt(params.ref.name, visitor.tools).arguments
            }
        else:
            kinds = _find_variables(params.ref.uri, visitor)
        if name not in kinds:
            raise MCPError(types.INVALID_PARAMS, f"There is no such argument: it takes {', '.join(kinds)}.")
        if not is_prompt and name == TEAM:
            completion = _complete_team(visitor, typed)
        else:
            completion = await self._suggest(visitor, kinds[name], typed, with_sign=is_prompt)
        return types.CompleteResult(completion=completion)

    async def _suggest(
        self, visitor: Visitor, kind: NameKind | None, typed: str, *, with_sign: bool
    ) -> types.Completion:
        """Return the names, of namesakes their ids; in a URI they stand without `#`."""
        if kind is None or _LISTS[kind] not in visitor.tools or len(typed) > MAX_TYPED_CHARS:
            return _render([])
        found = await self._services.names.suggest(visitor.connection, kind, typed, limit=MAX_VALUES)
        sign = _SIGNS[kind] if with_sign else ""
        values = [f"{sign}{each.name}" if each.is_clear else each.id for each in found.first]
        return types.Completion(
            values=values, total=found.total, has_more=found.total > len(values) or not found.is_complete
        )


def _find_variables(uri: str, visitor: Visitor) -> Mapping[str, NameKind | None]:
    """Return the variables of a template that the caller can use, and whose names complete them; raises MCPError."""
    for kind in KINDS:
        if kind.template.template == uri and kind.tool in visitor.tools:
            return {name: kind.names.get(name) for name in kind.template.variable_names}
    raise MCPError(
        types.INVALID_PARAMS, "There is no such template: resources/templates/list names those that can be used."
    )


def _complete_team(visitor: Visitor, typed: str) -> types.Completion:
    team_id = visitor.connection.team_id or ""
    return _render([team_id] if team_id and team_id.casefold().startswith(typed.casefold()) else [])


def _render(values: list[str]) -> types.Completion:
    return types.Completion(values=values, total=len(values), has_more=False)
