"""What a tool is: a name, two models and a function.

A file per noun holds its tools as constants in `TOOLS`, and `registry.py` lists the files.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from mcp import types
from pydantic import BaseModel, ConfigDict, ValidationError

from slack_mcp.connections.configure import Configurator
from slack_mcp.core.errors import InvalidInputError
from slack_mcp.tools.caller import Caller

# Callable by Mesh and its UI, and not offered to a model: `isToolVisibleToModel` in Mesh reads it.
_FOR_APPS_ONLY: Final = {"ui": {"visibility": ["app"]}}


class Arguments(BaseModel):
    """Base of the input models: what the schema does not name or allow is refused, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Result(BaseModel):
    """Base of the output models."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the tools work with.

    Attributes:
        public_url: where Slack reaches this service, None when the operator did not say.
    """

    configurator: Configurator
    public_url: str | None


ArgumentsT = TypeVar("ArgumentsT", bound=Arguments)
ResultT = TypeVar("ResultT", bound=Result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool(Generic[ArgumentsT, ResultT]):
    """One tool.

    Attributes:
        arguments: the input; its schema is what tools/list shows, and what is enforced.
        result: the output, likewise.
        run: does it; raises SlackMcpError.
        is_for_apps: called by Mesh and its UI, never offered to a model.
    """

    name: str
    title: str
    description: str
    arguments: type[ArgumentsT]
    result: type[ResultT]
    annotations: types.ToolAnnotations
    run: Callable[[Services, Caller, ArgumentsT], Awaitable[ResultT]]
    is_for_apps: bool = False

    def describe(self) -> types.Tool:
        """Return the tool as tools/list shows it."""
        return types.Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=self.arguments.model_json_schema(),
            output_schema=self.result.model_json_schema(mode="serialization"),
            annotations=self.annotations,
            _meta=dict(_FOR_APPS_ONLY) if self.is_for_apps else None,
        )

    async def call(self, services: Services, caller: Caller, arguments: Mapping[str, Any]) -> types.CallToolResult:
        """Return the result, structured and as JSON text.

        Raises:
            InvalidInputError: the arguments are not what the schema asks for.
            SlackMcpError: whatever the tool raises.
        """
        checked = self._check(arguments)
        result = await self.run(services, caller, checked)
        # Mesh's UI reads the structured content, and its discovery the text alone.
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=result.model_dump_json(by_alias=True))],
            structured_content=result.model_dump(mode="json", by_alias=True),
        )

    def _check(self, arguments: Mapping[str, Any]) -> ArgumentsT:
        """Return the arguments as the tool takes them."""
        try:
            return self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            mistakes = [
                f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}."
                for detail in error.errors(include_url=False, include_input=False)
            ]
        raise InvalidInputError(" ".join(mistakes))
