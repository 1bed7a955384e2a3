"""The tools through which Mesh's automations subscribe to Slack's events.

Source: `packages/bindings/src/well-known/trigger.ts` of Mesh, https://github.com/decocms/studio.
"""

from typing import Any, Final, Literal

from pydantic import ConfigDict, Field

from slack_mcp.core.errors import ForbiddenError, InvalidInputError
from slack_mcp.core.model import Access
from slack_mcp.core.secret import Secret
from slack_mcp.tools.call import Call
from slack_mcp.tools.tool import Arguments, Result, Tool
from slack_mcp.triggers.kinds import KINDS


class TriggerListArguments(Arguments):
    """No arguments."""

    model_config = ConfigDict(extra="allow")  # what a later version of Mesh may send is read over


class TriggerParam(Result):
    """A value that an automation may ask for."""

    type: Literal["string"] = "string"
    description: str
    enum: list[str] | None = None


class TriggerKind(Result):
    """A kind of event."""

    type: str
    description: str
    params_schema: dict[str, TriggerParam] = Field(alias="paramsSchema")


class TriggerListResult(Result):
    """The kinds of events that there are."""

    triggers: list[TriggerKind]


class TriggerConfigureArguments(Arguments):
    """What an automation subscribes to, or does not any more."""

    model_config = ConfigDict(extra="allow")  # subscriptionId, and what a later version of Mesh may send

    type: str = Field(description="A kind of event, as TRIGGER_LIST names it.")
    params: dict[str, Any] = Field(default_factory=dict, description="Values that the event's data must have.")
    enabled: bool = Field(description="Whether to tell Mesh of such events.")
    callback_url: str | None = Field(default=None, alias="callbackUrl", description="Where Mesh is told.")
    callback_token: str | None = Field(default=None, alias="callbackToken", description="Mesh's token for it.")


class TriggerConfigureResult(Result):
    """It was saved."""

    success: Literal[True] = True


async def _list_triggers(_call: Call, _arguments: TriggerListArguments) -> TriggerListResult:
    return TriggerListResult(
        triggers=[
            TriggerKind(
                type=kind.name,
                description=kind.description,
                paramsSchema={
                    key: TriggerParam(description=each.description, enum=list(each.values) or None)
                    for key, each in kind.filters.items()
                },
            )
            for kind in KINDS.values()
        ]
    )


async def _configure_trigger(call: Call, arguments: TriggerConfigureArguments) -> TriggerConfigureResult:
    claims = await call.caller.fetch_claims()
    triggers = call.services.triggers
    if triggers is None:
        raise ForbiddenError("This process serves one connection on this machine, which Mesh does not configure.")
    if not arguments.enabled:
        await triggers.disable(claims, arguments.type, arguments.params)
        return TriggerConfigureResult()
    if arguments.callback_url is None or arguments.callback_token is None:
        raise InvalidInputError("callbackUrl and callbackToken are required when enabled is true.")
    await triggers.enable(
        claims,
        arguments.type,
        arguments.params,
        url=arguments.callback_url,
        token=Secret(arguments.callback_token),
    )
    return TriggerConfigureResult()


TOOLS: Final = (
    Tool(
        name="TRIGGER_LIST",
        title="List the kinds of events",
        description="Returns the Slack events that an automation can subscribe to. Called by Mesh.",
        arguments=TriggerListArguments,
        result=TriggerListResult,
        run=_list_triggers,
        is_open_world=False,
        is_for_apps=True,
    ),
    Tool(
        name="TRIGGER_CONFIGURE",
        title="Subscribe an automation",
        description=(
            "Subscribes an automation of Mesh to a kind of Slack event of the connection, or ends that. Called by Mesh."
        ),
        arguments=TriggerConfigureArguments,
        result=TriggerConfigureResult,
        run=_configure_trigger,
        access=Access.ADMIN,
        is_idempotent=True,
        is_for_apps=True,
    ),
)
