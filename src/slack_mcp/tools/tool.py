"""What a tool is: a name, two models and a function.

A file per noun holds its tools as constants in `TOOLS`, and `registry.py` lists the files.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec
from mcp import types
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.model import Access
from slack_mcp.protocol.mrkdwn import clean
from slack_mcp.tools.call import Call, Services
from slack_mcp.tools.needs import ANY_TOKEN, Needs

# Callable by Mesh and its UI, and not offered to a model: `isToolVisibleToModel` in Mesh reads it.
_FOR_APPS_ONLY: Final = {"ui": {"visibility": ["app"]}}


class Arguments(BaseModel):
    """Base of the input models: what the schema does not name or allow is refused, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Result(BaseModel):
    """Base of the output models. A field that is None is left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def dump(self) -> dict[str, Any]:
        """Return the structured content."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def render_text(self, _arguments: BaseModel) -> str:
        """Return the text content: what most clients show their model."""
        return json.dumps(self.dump(), ensure_ascii=False, separators=(",", ":"))

    def render_content(self, arguments: BaseModel) -> list[types.ContentBlock]:
        """Return the content blocks: the text alone, unless there is an image or a file to hand out."""
        return [types.TextContent(type="text", text=self.render_text(arguments))]


ArgumentsT = TypeVar("ArgumentsT", bound=Arguments)
ResultT = TypeVar("ResultT", bound=Result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool(Generic[ArgumentsT, ResultT]):
    """One tool.

    Attributes:
        arguments: the input; its schema is what tools/list shows, and what is enforced.
        result: the output, likewise.
        run: does it; raises SlackMcpError.
        access: what the caller must be allowed. A tool with READ cannot write to Slack: its door refuses.
        needs: the tokens and scopes without which Slack refuses it.
        is_destructive: what it does cannot be taken back, or takes back what others did.
        is_idempotent: called again with the same arguments it changes nothing more.
        is_open_world: it reaches Slack, or others.
        is_served: whether what it works with is there at all; it is not offered otherwise.
        is_for_apps: called by Mesh and its UI for a connection that may not exist yet, never offered to a model.
    """

    name: str
    title: str
    description: str
    arguments: type[ArgumentsT]
    result: type[ResultT]
    run: Callable[[Call, ArgumentsT], Awaitable[ResultT]]
    access: Access = Access.READ
    needs: Needs = ANY_TOKEN
    is_destructive: bool = False
    is_idempotent: bool = False
    is_open_world: bool = True
    is_for_apps: bool = False
    is_served: Callable[[Services], bool] = lambda _services: True

    @property
    def is_read_only(self) -> bool:
        """Whether it changes nothing."""
        return self.access is Access.READ

    def describe(self) -> types.Tool:
        """Return the tool as tools/list shows it."""
        return types.Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=render_schema(self.arguments, "validation"),
            output_schema=render_schema(self.result, "serialization"),
            annotations=types.ToolAnnotations(
                read_only_hint=self.is_read_only,
                destructive_hint=self.is_destructive,
                idempotent_hint=self.is_idempotent or self.is_read_only,
                open_world_hint=self.is_open_world,
            ),
            _meta=dict(_FOR_APPS_ONLY) if self.is_for_apps else None,
        )

    def parse(self, arguments: Mapping[str, Any]) -> ArgumentsT:
        """Return the arguments as the tool takes them.

        Raises:
            InvalidInputError: they are not what the schema asks for; each mistake is named.
        """
        try:
            return self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            mistakes = [
                _render_mistake(dict(detail), self.arguments.model_fields)
                for detail in error.errors(include_url=False, include_input=False)
            ]
        known = ", ".join(render_schema(self.arguments, "validation").get("properties", {})) or "none"
        raise InvalidInputError(f"{' '.join(mistakes)} The arguments of {self.name}: {known}.")

    def render(self, result: ResultT, arguments: ArgumentsT) -> types.CallToolResult:
        """Return the result, structured and as text: Mesh's UI reads the one, and its discovery the other alone."""
        content, structured = result.render_content(arguments), result.dump()
        try:
            msgspec.json.encode([structured, *(each.text for each in content if isinstance(each, types.TextContent))])
        except UnicodeEncodeError:
            # Slack's JSON may hold half a surrogate pair, which no UTF-8 can.
            structured = _clean(structured)
            content = [type(each).model_validate(_clean(each.model_dump(by_alias=True))) for each in content]
        return types.CallToolResult(content=content, structured_content=structured)


def _render_mistake(detail: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> str:
    """Return one sentence: where, and what must be there."""
    hint = fields[detail["loc"][0]].description if detail["loc"] and detail["loc"][0] in fields else None
    path = ".".join(str(part) for part in detail["loc"]) or "the arguments"
    match detail["type"]:
        case "extra_forbidden":
            return f"{path} is not an argument of this tool."
        case "missing":
            return f"{path} is required."
        case "string_pattern_mismatch" if hint:
            return f"{path}: this does not look right. {hint}"
        case _:
            return f"{path}: {detail['msg'].removeprefix('Value error, ')}."


def _clean(value: Any) -> Any:
    """Return JSON with `?` for what is no text."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _clean(each) for key, each in value.items()}
    return [_clean(each) for each in value] if isinstance(value, list) else value


@cache
def render_schema(model: type[BaseModel], mode: Literal["validation", "serialization"]) -> dict[str, Any]:
    """Return the JSON Schema of a model's input or output; not to be changed, since it is made once."""
    return _slim(model.model_json_schema(mode=mode))


def _slim(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema in fewer words, for a model pays for every one.

    The titles that pydantic makes of the names go, the docstrings of the models, and null: what is optional may as well
    be left out. (A null that is sent all the same is taken.)
    """
    slim: dict[str, Any] = {}
    for key, value in _drop_null(schema).items():
        if isinstance(value, str) and (key == "title" or (key == "description" and "properties" in schema)):
            continue
        if key in {"properties", "$defs"}:
            slim[key] = {name: _slim(each) for name, each in value.items()}
        elif isinstance(value, dict):
            slim[key] = _slim(value)
        elif isinstance(value, list):
            slim[key] = [_slim(each) if isinstance(each, dict) else each for each in value]
        else:
            slim[key] = value
    return slim


def _drop_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema without null as one of its types and as its default."""
    rest = {key: value for key, value in schema.items() if not (key == "default" and value is None)}
    choices = rest.get("anyOf")
    if not isinstance(choices, list) or {"type": "null"} not in choices:
        return rest
    others = [each for each in choices if each != {"type": "null"}]
    if len(others) == 1:
        del rest["anyOf"]
        return {**others[0], **rest}
    return {**rest, "anyOf": others}
