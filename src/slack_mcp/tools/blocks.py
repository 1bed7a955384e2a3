"""Block Kit: is it right, and the bot's Home tab."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, BaseModel, Field

from slack_mcp.core.errors import InvalidInputError, SlackRefusedError
from slack_mcp.core.model import Access
from slack_mcp.tools.advice import is_refusal
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import UserText
from slack_mcp.tools.posting import check_actions
from slack_mcp.tools.tool import Arguments, Result, Tool

# https://docs.slack.dev/reference/methods/blocks.validate
MAX_VALIDATED_CHARS: Final = 100_000
MAX_VIEW_BLOCKS: Final = 100
# https://docs.slack.dev/reference/methods/views.publish
MAX_VIEW_BYTES: Final = 250_000

_ViewBlocks: TypeAlias = Annotated[
    list[dict[str, Any]],
    Field(max_length=MAX_VIEW_BLOCKS, description="Block Kit blocks, at most 100."),
    AfterValidator(check_actions),
]


class ValidateArguments(Arguments):
    """What to look at: blocks or a view."""

    blocks: list[dict[str, Any]] | None = Field(default=None, max_length=200, description="Blocks of a message.")
    view: dict[str, Any] | None = Field(default=None, description="A modal or a Home tab, instead of blocks.")


class ValidateResult(Result):
    """Whether Slack would take it."""

    valid: bool
    errors: Sequence[str] | None = Field(default=None, description="JSON pointer and what is wrong there.")

    def render_text(self, _arguments: BaseModel) -> str:
        """Return it as Markdown."""
        return "Valid." if self.valid else "\n".join(["Not valid:", *(f"- {each}" for each in self.errors or ())])


class HomeArguments(Arguments):
    """What to show whom."""

    user_id: UserText
    blocks: _ViewBlocks


class HomeResult(Result):
    """What is shown now."""

    user_id: str
    view_id: str


async def _validate(call: Call, arguments: ValidateArguments) -> ValidateResult:
    if (arguments.blocks is None) == (arguments.view is None):
        raise InvalidInputError("Give either blocks or view.")
    name, value = ("view", arguments.view) if arguments.blocks is None else ("blocks", arguments.blocks)
    text = _dump(value)
    if len(text) > MAX_VALIDATED_CHARS:
        raise InvalidInputError(f"{name}: Slack looks at {MAX_VALIDATED_CHARS} characters of JSON at most.")
    try:
        await call.bot.write("blocks.validate", **{name: text})
    except SlackRefusedError as error:
        if not is_refusal(error, f"invalid_{name}"):
            raise
        return ValidateResult(valid=False, errors=list(error.details) or [error.slack_error])
    return ValidateResult(valid=True)


async def _publish_home(call: Call, arguments: HomeArguments) -> HomeResult:
    view = {"type": "home", "blocks": arguments.blocks}
    if len(_dump(view).encode()) > MAX_VIEW_BYTES:
        raise InvalidInputError("blocks: a Home tab takes 250 kB; leave something out.")
    user_id = await call.resolve_user(arguments.user_id)
    answer = await call.bot.write("views.publish", user_id=user_id, view=view)
    return HomeResult(user_id=user_id, view_id=answer["view"]["id"])


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


TOOLS: Final = (
    Tool(
        name="SLACK_VALIDATE_BLOCKS",
        title="Check blocks",
        description="Returns whether Slack would take blocks or a view, and what is wrong with them. Sends nothing.",
        arguments=ValidateArguments,
        result=ValidateResult,
        run=_validate,
    ),
    Tool(
        name="SLACK_PUBLISH_HOME",
        title="Publish a Home tab",
        description="Replaces what a person sees in the bot's Home tab.",
        arguments=HomeArguments,
        result=HomeResult,
        run=_publish_home,
        access=Access.WRITE,
        is_destructive=True,
        is_idempotent=True,
    ),
)
