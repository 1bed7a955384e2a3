"""The tools through which Mesh configures a connection.

Source: `packages/bindings/src/well-known/mcp.ts` and `tools/connection/update.ts` of Mesh.
"""

from typing import Any, Final

from pydantic import ConfigDict, Field

from slack_mcp.connections.form import render_state_schema
from slack_mcp.core.errors import ForbiddenError
from slack_mcp.core.model import Access
from slack_mcp.tools.call import Call
from slack_mcp.tools.tool import Arguments, Result, Tool

# What the service asks Mesh to put into the tokens that it is sent: nothing.
# `*` is refused by newer versions of Mesh (a token for everything must not be mintable by a connection); a scope of an
# optional binding makes each save without that binding fail, and older versions know no `SELF::…`. Nothing is lost: the
# owner or administrator who saves may make the API key by role, and the key carries its own permissions.
SCOPES: Final[tuple[str, ...]] = ()


class ConfigurationArguments(Arguments):
    """No arguments."""

    # What a later version of Mesh may send is read over: without an answer it offers no form.
    model_config = ConfigDict(extra="allow")


class ConfigurationResult(Result):
    """The form, and the permissions that its saved state shall give."""

    state_schema: dict[str, Any] = Field(alias="stateSchema", description="JSON Schema of the configuration.")
    scopes: list[str] = Field(description="Permissions asked for, each `KEY::TOOL`.")


class OnConfigurationArguments(Arguments):
    """What was saved."""

    model_config = ConfigDict(extra="allow")  # newer versions of Mesh send more

    state: dict[str, Any] = Field(description="The saved configuration.")
    scopes: list[str] = Field(description="The permissions that were granted.")
    first_run: bool | None = Field(
        default=None, alias="firstRun", description="Whether nothing had been configured before."
    )
    vault: dict[str, Any] | None = Field(default=None, description="Access to Mesh's vault; not used.")


class OnConfigurationResult(Result):
    """Nothing."""


async def _show_configuration(call: Call, _arguments: ConfigurationArguments) -> ConfigurationResult:
    return ConfigurationResult(
        stateSchema=render_state_schema(public_url=call.services.public_url),
        scopes=list(SCOPES),
    )


async def _take_configuration(call: Call, arguments: OnConfigurationArguments) -> OnConfigurationResult:
    claims = await call.caller.fetch_claims()
    if call.services.configurator is None:
        raise ForbiddenError("This process serves one connection on this machine, which Mesh does not configure.")
    await call.services.configurator.configure(claims, arguments.model_dump(by_alias=True))
    return OnConfigurationResult()


TOOLS: Final = (
    Tool(
        name="MCP_CONFIGURATION",
        title="Show the configuration form",
        description="Returns the JSON Schema of a connection's configuration. Called by Mesh.",
        arguments=ConfigurationArguments,
        result=ConfigurationResult,
        run=_show_configuration,
        is_open_world=False,
        is_for_apps=True,
    ),
    Tool(
        name="ON_MCP_CONFIGURATION",
        title="Take a saved configuration",
        description=(
            "Saves the configuration that the connection's Mesh token carries. Called by Mesh after somebody saved the "
            "connection's settings; the arguments change nothing."
        ),
        arguments=OnConfigurationArguments,
        result=OnConfigurationResult,
        run=_take_configuration,
        access=Access.ADMIN,
        is_destructive=True,
        is_idempotent=True,
        is_for_apps=True,
    ),
)
