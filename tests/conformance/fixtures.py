"""The server that the conformance suite wants to meet: tools, resources and prompts with the names it calls.

Each does what the description of its scenario asks for (`conformance list --server` names them), on the SDK's own
low-level server: what is tested is everything between it and the socket.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from conformance.questions import (
    PROMPT,
    QUESTIONS,
    STATE,
    STATEFUL,
    ask,
    ask_step,
    ask_what_is_declared,
    render_answers,
)
from mcp import MCPError, types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity

Context: TypeAlias = ServerRequestContext[Any]
CallResult: TypeAlias = types.CallToolResult | types.InputRequiredResult
Run: TypeAlias = Callable[[Context, types.CallToolRequestParams], Awaitable[CallResult]]

NAME: Final = "conformance-fixtures"
# A red pixel, and a sample of silence.
PNG: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
WAV: Final = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
SCHEMAS: Final[Mapping[str, dict[str, Any]]] = MappingProxyType(
    {
        "json_schema_2020_12_tool": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "$defs": {
                "address": {
                    "$anchor": "addressDef",
                    "type": "object",
                    "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
                }
            },
            "properties": {
                "name": {"type": "string"},
                "address": {"$ref": "#/$defs/address"},
                "contactMethod": {"type": "string", "enum": ["phone", "email"]},
                "phone": {"type": "string"},
                "email": {"type": "string"},
            },
            "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
            "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
            "then": {"required": ["phone"]},
            "else": {"required": ["email"]},
            "additionalProperties": False,
        },
        "test_header_param": {
            "type": "object",
            "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
            "required": ["region"],
            "additionalProperties": False,
        },
    }
)


def text(value: str) -> types.TextContent:
    return types.TextContent(type="text", text=value)


def embed(uri: str, mime_type: str, value: str) -> types.EmbeddedResource:
    return types.EmbeddedResource(
        type="resource", resource=types.TextResourceContents(uri=uri, mime_type=mime_type, text=value)
    )


IMAGE: Final = types.ImageContent(type="image", data=PNG, mime_type="image/png")
CONTENTS: Final[Mapping[str, list[types.ContentBlock]]] = MappingProxyType(
    {
        "test_simple_text": [text("This is a simple text response for testing.")],
        "test_image_content": [IMAGE],
        "test_audio_content": [types.AudioContent(type="audio", data=WAV, mime_type="audio/wav")],
        "test_embedded_resource": [
            embed("test://embedded-resource", "text/plain", "This is an embedded resource content.")
        ],
        "test_multiple_content_types": [
            text("Multiple content types test:"),
            IMAGE,
            embed("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
        ],
        "json_schema_2020_12_tool": [text("ok")],
        "test_header_param": [text("ok")],
    }
)


async def log(context: Context, _params: types.CallToolRequestParams) -> CallResult:
    for step in ("started", "going on", "finished"):
        await context.session.send_log_message(level="info", data=f"Tool execution {step}")
    return types.CallToolResult(content=[text("Logged.")])


async def report_progress(context: Context, _params: types.CallToolRequestParams) -> CallResult:
    for progress in (0, 50, 100):
        await context.session.report_progress(progress, total=100)
    return types.CallToolResult(content=[text("Done.")])


async def fail(_context: Context, _params: types.CallToolRequestParams) -> CallResult:
    return types.CallToolResult(content=[text("This tool intentionally returns an error for testing")], is_error=True)


async def need_sampling(context: Context, _params: types.CallToolRequestParams) -> CallResult:
    needed = types.ClientCapabilities(sampling=types.SamplingCapability())
    if not context.session.check_client_capability(needed):
        data = types.MissingRequiredClientCapabilityErrorData(required_capabilities=needed)
        raise MCPError(
            types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            "The client has to declare sampling.",
            data.model_dump(by_alias=True, exclude_none=True),
        )
    return types.CallToolResult(content=[text("ok")])


async def sample(context: Context, _params: types.CallToolRequestParams) -> CallResult:
    """Ask in the middle of a call, as the protocol had it until 2025-11-25."""
    message = types.SamplingMessage(role="user", content=text("Say something."))
    await context.session.create_message([message], max_tokens=50)
    return types.CallToolResult(content=[text("ok")])


async def elicit(context: Context, _params: types.CallToolRequestParams) -> CallResult:
    """Likewise, the person."""
    await context.session.elicit_form("Please answer", {"type": "object", "properties": {}})
    return types.CallToolResult(content=[text("ok")])


async def go_through_steps(_context: Context, params: types.CallToolRequestParams) -> CallResult:
    return ask_step(params) or types.CallToolResult(content=[text(render_answers(params))])


async def ask_within_capabilities(context: Context, _params: types.CallToolRequestParams) -> CallResult:
    return ask_what_is_declared(context.session.client_capabilities)


RUNS: Final[Mapping[str, Run]] = MappingProxyType(
    {
        "test_tool_with_logging": log,
        "test_logging_tool": log,
        "test_tool_with_progress": report_progress,
        "test_error_handling": fail,
        "test_missing_capability": need_sampling,
        "test_sampling": sample,
        "test_elicitation": elicit,
        "test_elicitation_sep1034_defaults": elicit,
        "test_elicitation_sep1330_enums": elicit,
        "test_input_required_result_multi_round": go_through_steps,
        "test_input_required_result_capabilities": ask_within_capabilities,
    }
)
TOOLS: Final = tuple(
    types.Tool(
        name=name,
        description=f"Fixture of the conformance suite: {name}.",
        input_schema=SCHEMAS.get(name, {"type": "object"}),
    )
    for name in (*CONTENTS, *RUNS, *QUESTIONS)
)

RESOURCES: Final[Mapping[str, types.TextResourceContents | types.BlobResourceContents]] = MappingProxyType(
    {
        "test://static-text": types.TextResourceContents(
            uri="test://static-text",
            mime_type="text/plain",
            text="This is the content of the static text resource.",
        ),
        "test://static-binary": types.BlobResourceContents(uri="test://static-binary", mime_type="image/png", blob=PNG),
    }
)
TEMPLATE: Final = "test://template/{id}/data"
PROMPTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "test_simple_prompt": (),
        "test_prompt_with_arguments": ("arg1", "arg2"),
        "test_prompt_with_embedded_resource": ("resourceUri",),
        "test_prompt_with_image": (),
        "test_input_required_result_prompt": (),
    }
)


async def list_tools(_context: Context, _params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
    return types.ListToolsResult(tools=list(TOOLS))


async def call_tool(context: Context, params: types.CallToolRequestParams) -> CallResult:
    if params.name in CONTENTS:
        return types.CallToolResult(content=CONTENTS[params.name])
    if params.name in RUNS:
        return await RUNS[params.name](context, params)
    if params.name in QUESTIONS:
        questions = ask(QUESTIONS[params.name], params, state=STATE if params.name in STATEFUL else None)
        return questions or types.CallToolResult(content=[text(render_answers(params))])
    raise MCPError(types.INVALID_PARAMS, "Unknown tool.")


async def list_resources(_context: Context, _params: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
    listed = [
        types.Resource(uri=uri, name=uri.rpartition("/")[2], description="A fixture.", mime_type=contents.mime_type)
        for uri, contents in RESOURCES.items()
    ]
    return types.ListResourcesResult(resources=listed)


async def list_templates(
    _context: Context, _params: types.PaginatedRequestParams | None
) -> types.ListResourceTemplatesResult:
    template = types.ResourceTemplate(uri_template=TEMPLATE, name="template", description="A fixture.")
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(_context: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    if params.uri in RESOURCES:
        return types.ReadResourceResult(contents=[RESOURCES[params.uri]])
    before, after = TEMPLATE.split("{id}")
    if not (params.uri.startswith(before) and params.uri.endswith(after)):
        raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": params.uri})
    number = params.uri.removeprefix(before).removesuffix(after)
    data = json.dumps({"id": number, "templateTest": True, "data": f"Data for ID: {number}"})
    contents = types.TextResourceContents(uri=params.uri, mime_type="application/json", text=data)
    return types.ReadResourceResult(contents=[contents])


async def list_prompts(_context: Context, _params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
    listed = [
        types.Prompt(
            name=name,
            description="A fixture.",
            arguments=[types.PromptArgument(name=each, description="Any text.", required=True) for each in arguments],
        )
        for name, arguments in PROMPTS.items()
    ]
    return types.ListPromptsResult(prompts=listed)


async def get_prompt(
    _context: Context, params: types.GetPromptRequestParams
) -> types.GetPromptResult | types.InputRequiredResult:
    arguments = params.arguments or {}
    if params.name not in PROMPTS or arguments.keys() != set(PROMPTS[params.name]):
        raise MCPError(types.INVALID_PARAMS, "Unknown prompt, or other arguments than it has.")
    contents: list[types.ContentBlock] = [text("This is a simple prompt for testing.")]
    if params.name == "test_prompt_with_arguments":
        contents = [text(f"Prompt with arguments: arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'")]
    elif params.name == "test_prompt_with_embedded_resource":
        resource = embed(arguments["resourceUri"], "text/plain", "Embedded resource content for testing.")
        contents = [resource, text("Please process the embedded resource above.")]
    elif params.name == "test_prompt_with_image":
        contents = [IMAGE, text("Please analyze the image above.")]
    elif params.name == "test_input_required_result_prompt":
        questions = ask(PROMPT, params)
        if questions is not None:
            return questions
        contents = [text(render_answers(params))]
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=each) for each in contents])


async def complete(_context: Context, _params: types.CompleteRequestParams) -> types.CompleteResult:
    return types.CompleteResult(completion=types.Completion(values=["paris", "park"], total=2, has_more=False))


def build_fixtures() -> Server[Any]:
    """Return the server.

    What a stateless server without streams cannot keep or send is not offered: no subscriptions, no list changes, no
    log level. Without state of its own a server has to seal what it asks the client to hand back.
    """
    server: Server[Any] = Server(
        NAME,
        version="1.0.0",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_completion=complete,
        get_tool_input_schema={tool.name: tool.input_schema for tool in TOOLS}.get,
    )
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=NAME))
    return server
