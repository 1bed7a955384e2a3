"""Prompts: what a person picks from a menu, and a model is told then.

Source: https://modelcontextprotocol.io/specification/2025-11-25/server/prompts.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from mcp import MCPError, types
from mcp.server.context import ServerRequestContext

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.ports.names import NameKind
from slack_mcp.tools import prompt_texts
from slack_mcp.tools.call import Services
from slack_mcp.tools.fields import parse_moment
from slack_mcp.tools.prompt_texts import CHANNELS, HISTORY, SEARCH, UNREADS, Given, Usable
from slack_mcp.tools.requests import Requests


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptArgument:
    """An argument.

    Attributes:
        names: whose names complete it.
        is_moment: it says since when.
    """

    name: str
    description: str
    is_required: bool = False
    max_chars: int = 300
    names: NameKind | None = None
    is_moment: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptKind:
    """A prompt.

    Attributes:
        needs: tools; of each group one will do. Without them the prompt is not offered.
        render: makes the text, out of the arguments as JSON strings and the names of the tools that can be used.
    """

    name: str
    title: str
    description: str
    arguments: tuple[PromptArgument, ...]
    needs: tuple[tuple[str, ...], ...]
    render: Callable[[Given, Usable], str]

    def is_offered(self, usable: Usable) -> bool:
        """Tell whether the tools that can be used will do."""
        return all(any(tool in usable for tool in group) for group in self.needs)

    def describe(self) -> types.Prompt:
        """Return the prompt as prompts/list shows it."""
        return types.Prompt(
            name=self.name,
            title=self.title,
            description=self.description,
            arguments=[
                types.PromptArgument(name=each.name, description=each.description, required=each.is_required)
                for each in self.arguments
            ],
        )

    def parse(self, given: Mapping[str, str], *, now_s: float) -> Given:
        """Return the arguments that are not empty, each as a JSON string: what is in one stays on its line.

        Raises:
            InvalidInputError: one is missing, unknown, too long, or no moment; each mistake is named.
        """
        values = {name: value.strip() for name, value in given.items() if value.strip()}
        known = {each.name: each for each in self.arguments}
        mistakes: list[str] = []
        for name, argument in known.items():
            value = values.get(name)
            if value is None:
                mistakes += [f"{name} is required."] if argument.is_required else []
            elif len(value) > argument.max_chars:
                mistakes.append(f"{name}: at most {argument.max_chars} characters.")
            elif argument.is_moment:
                try:
                    parse_moment(name, value, now_s=now_s)
                except InvalidInputError as error:
                    mistakes.append(str(error))
        if not values.keys() <= known.keys():
            mistakes.append("There are arguments that this prompt does not have.")
        if mistakes:
            raise InvalidInputError(f"{' '.join(mistakes)} The arguments of {self.name}: {', '.join(known)}.")
        return {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}


_CHANNEL: Final = PromptArgument(
    name="channel", description="Channel: #name, id or link.", is_required=True, names=NameKind.CHANNEL
)


def _since(default: str) -> PromptArgument:
    return PromptArgument(
        name="since",
        description=f"How long ago (12h, 7d), or a date{f'; {default} by default' if default else ''}.",
        max_chars=40,
        is_moment=True,
    )


PROMPTS: Final = (
    PromptKind(
        name="summarize_channel",
        title="Summarize a channel",
        description="Decisions, open questions and news of a channel.",
        arguments=(_CHANNEL, _since("7d")),
        needs=((HISTORY,),),
        render=prompt_texts.summarize_channel,
    ),
    PromptKind(
        name="catch_me_up",
        title="Catch me up",
        description="What you have missed, with what waits for you first.",
        arguments=(
            _since("1d"),
            PromptArgument(name="user", description="You: @name, id or e-mail.", names=NameKind.USER),
        ),
        needs=((HISTORY,), (UNREADS, CHANNELS)),
        render=prompt_texts.catch_me_up,
    ),
    PromptKind(
        name="standup_digest",
        title="Stand-up digest",
        description="Who has done what, does what next and is blocked by what, from a channel.",
        arguments=(
            _CHANNEL,
            _since("1d"),
            PromptArgument(name="user", description="Only this person: @name, id or e-mail.", names=NameKind.USER),
        ),
        needs=((HISTORY,),),
        render=prompt_texts.digest_standup,
    ),
    PromptKind(
        name="draft_announcement",
        title="Draft an announcement",
        description="An announcement in the tone of a channel, shown to you before it is sent.",
        arguments=(
            _CHANNEL,
            PromptArgument(name="topic", description="What to announce.", is_required=True, max_chars=4_000),
            PromptArgument(name="audience", description="For whom."),
        ),
        needs=((HISTORY,),),
        render=prompt_texts.draft_announcement,
    ),
    PromptKind(
        name="find_discussion",
        title="Find a discussion",
        description="Where something was discussed, and what came of it.",
        arguments=(
            PromptArgument(name="topic", description="What it was about.", is_required=True, max_chars=1_000),
            PromptArgument(name="channel", description="Only there: #name, id or link.", names=NameKind.CHANNEL),
            _since(""),
        ),
        needs=((SEARCH, HISTORY),),
        render=prompt_texts.find_discussion,
    ),
)


class Prompts:
    """Lists and renders the prompts.

    Args:
        requests: says who asks.
        services: what the tools work with.
    """

    def __init__(self, requests: Requests, services: Services) -> None:
        self._requests = requests
        self._services = services

    async def list_prompts(
        self, ctx: ServerRequestContext[Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        """Return the prompts whose tools the caller can use; all to somebody who does not say who he is."""
        return await self._requests.answer(ctx.method, self._list_prompts)

    async def get_prompt(
        self, ctx: ServerRequestContext[Any], params: types.GetPromptRequestParams
    ) -> types.GetPromptResult:
        """Return what the model is told."""
        return await self._requests.answer(ctx.method, partial(self._get_prompt, params.name, params.arguments or {}))

    async def _list_prompts(self) -> types.ListPromptsResult:
        usable = {tool.name for tool in await self._requests.find_tools()}
        return types.ListPromptsResult(prompts=[each.describe() for each in PROMPTS if each.is_offered(usable)])

    async def _get_prompt(self, name: str, given: Mapping[str, str]) -> types.GetPromptResult:
        visitor = await self._requests.identify()
        kind = find_prompt(name, visitor.tools)
        text = kind.render(kind.parse(given, now_s=self._services.clock.now_s()), visitor.tools)
        message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
        return types.GetPromptResult(description=kind.description, messages=[message])


def find_prompt(name: str, usable: Usable) -> PromptKind:
    """Return a prompt that is offered; raises MCPError."""
    for each in PROMPTS:
        if each.name == name and each.is_offered(usable):
            return each
    raise MCPError(types.INVALID_PARAMS, "There is no such prompt: prompts/list names those that can be used.")
