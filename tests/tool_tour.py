"""A tour of all tools through an MCP client: what each is called with, in order, and what is then so in Slack.

A stop may use what the stops before it brought home. Each result must be no error, be what the tool's output schema
says, as the server lists it, have a text, and be true of the simulated workspace.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from jsonschema import Draft202012Validator
from mcp import Client, types

from slack_mcp.simulator import Simulator, Workspace
from slack_mcp.simulator.model import Channel, Message

Json: TypeAlias = dict[str, Any]

CANARY = "canary"  # in every token and secret, and in nothing else
BOT, ANN, BEN, CAT = "U0BOT00", "U0ANN00", "U0BEN00", "U0CAT00"
GENERAL, RANDOM = "C0GENERAL", "C0RANDOM"
SAID = "What is for lunch?"


def make_team_id(number: int) -> str:
    return f"T000000{number}"


def make_user_token(number: int) -> str:
    """Return the token with which the app acts for Ann."""
    return f"xoxp-{CANARY}-{number}"


def make_workspace(number: int) -> Workspace:
    """Return a workspace with three people, a channel with all of them and the bot, and one without the bot.

    People and channels have the same ids in every workspace. Ann lets the app act for her, and has something to read.
    """
    workspace = Workspace(
        team_id=make_team_id(number),
        bot_token=f"xoxb-{CANARY}-{number}",
        signing_secret=f"{CANARY}-signing-{number}",
        app_id=f"A000000{number}",
        bot_user_id=BOT,
        connection_id=f"conn_{number}",
    )
    for user_id, name in ((ANN, "ann"), (BEN, "ben"), (CAT, "cat")):
        workspace.add_user(user_id, name, real_name=f"{name.title()} of {number}", title="Cook")
    workspace.add_channel(GENERAL, "general")
    workspace.add_channel(RANDOM, "random", members={ANN, BEN})
    workspace.add_user_token(ANN, make_user_token(number))
    workspace.emoji["parrot"] = "https://emoji.example/parrot.gif"
    workspace.say(BEN, GENERAL, SAID)
    return workspace


@dataclass(kw_only=True)
class Trip:
    """One client's way through the tools of one workspace.

    Attributes:
        wait_for_turn: returns when the bot has answered somebody; None where there is no bot.
        schemas: the output schemas, as the server lists them.
        got: the last result of each tool.
    """

    client: Client
    simulator: Simulator
    workspace: Workspace
    wait_for_turn: Callable[[], Awaitable[None]] | None = None
    schemas: dict[str, Json] = field(default_factory=dict)
    got: dict[str, Json] = field(default_factory=dict)

    @property
    def general(self) -> Channel:
        return self.workspace.channels[GENERAL]

    @property
    def sent_ts(self) -> str:
        """Of the message that the tour begins with."""
        return str(self.got["SLACK_SEND_MESSAGE"]["ts"])

    def message(self, ts: str) -> Message:
        return self.workspace.find_message(GENERAL, ts)

    def get_id(self, tool: str, name: str) -> str:
        """Return an id that a tool returned."""
        return str(self.got[tool][name])

    @property
    def created(self) -> Channel:
        """The channel that the tour creates."""
        return self.workspace.channels[self.got["SLACK_CREATE_CHANNEL"]["channel"]["id"]]

    def list_callers(self, method: str) -> list[str]:
        """Return the tokens with which a method was called well, in order."""
        calls = self.simulator.calls.select(method, team_id=self.workspace.team_id)
        return [each.token for each in calls if each.error is None]

    @property
    def user_token(self) -> str:
        (token,) = self.workspace.user_tokens
        return token

    async def travel(self, stops: Sequence["Stop"]) -> None:
        """Call one tool after the other, and look at what came of it."""
        listed = await self.client.list_tools()
        self.schemas = {tool.name: tool.output_schema or {} for tool in listed.tools}
        for stop in stops:
            await stop.before(self)
            result = await self.client.call_tool(stop.tool, stop.arguments(self))
            content = self._check(stop.tool, result)
            self.got[stop.tool] = content
            assert stop.is_so(self, content), f"{stop.tool} in Slack, after {content}"

    async def refuse(self, tool: str, arguments: Json) -> str:
        """Return what a call says that must fail; there is nothing in it that is nobody's business."""
        result = await self.client.call_tool(tool, arguments)
        text = get_text(result)
        assert result.is_error, f"{tool}: {result.structured_content}"
        assert text
        check_text(text)
        return text

    def _check(self, tool: str, result: types.CallToolResult) -> Json:
        text = get_text(result)
        assert not result.is_error, f"{tool}: {text}"
        assert text.strip(), tool
        assert CANARY not in result.model_dump_json(), tool
        schema, content = self.schemas[tool], result.structured_content
        Draft202012Validator.check_schema(schema)
        problems = [each.message for each in Draft202012Validator(schema).iter_errors(content)]
        assert not problems, f"{tool}: {problems}"
        assert isinstance(content, dict)
        return content


async def _nothing(_trip: Trip) -> None:
    """Let nothing happen before a stop."""


@dataclass(frozen=True, slots=True)
class Stop:
    """One call.

    Attributes:
        tool: its name.
        arguments: made of what came before.
        is_so: whether Slack is as the tool says that it is now.
        before: what people do before the call.
    """

    tool: str
    arguments: Callable[[Trip], Json]
    is_so: Callable[[Trip, Json], object]
    before: Callable[[Trip], Awaitable[None]] = _nothing


def get_text(result: types.CallToolResult) -> str:
    """Return the text of a result."""
    return "\n".join(each.text for each in result.content if isinstance(each, types.TextContent))


def check_text(text: str) -> None:
    """Find no token and nothing of the program's inside in an error."""
    for word in (CANARY, "Traceback", "xoxb-", "xoxp-", "slack_mcp.", ".py"):
        assert word not in text, text
