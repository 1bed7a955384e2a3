"""What the fixtures ask the client back for, in answers of the kind `input_required` (SEP-2322)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from mcp import MCPError, types


def make_form(message: str, name: str, kind: str = "string") -> types.ElicitRequest:
    """Return a form with one field, for the person behind the client."""
    schema: dict[str, Any] = {"type": "object", "properties": {name: {"type": kind}}, "required": [name]}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def make_completion(text: str) -> types.CreateMessageRequest:
    """Return a text to complete, for the client's model."""
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=text))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=50))


NAME: Final = make_form("What is your name?", "name")
COLOR: Final = make_form("What is your favorite color?", "color")
CONFIRMATION: Final = make_form("Please confirm", "ok", "boolean")
CAPITAL: Final = make_completion("What is the capital of France?")
ROOTS: Final = types.ListRootsRequest()

STATE: Final = "asked"
QUESTIONS: Final[Mapping[str, types.InputRequests]] = MappingProxyType(
    {
        "test_input_required_result_elicitation": {"user_name": NAME},
        "test_input_required_result_sampling": {"capital_question": CAPITAL},
        "test_input_required_result_list_roots": {"client_roots": ROOTS},
        "test_input_required_result_request_state": {"confirm": CONFIRMATION},
        "test_input_required_result_multiple_inputs": {"user_name": NAME, "greeting": CAPITAL, "client_roots": ROOTS},
        "test_input_required_result_tampered_state": {"confirm": CONFIRMATION},
        "test_streaming_elicitation": {"user_name": NAME},
    }
)
STATEFUL: Final = frozenset(
    {
        "test_input_required_result_request_state",
        "test_input_required_result_multiple_inputs",
        "test_input_required_result_tampered_state",
    }
)
PROMPT: Final[types.InputRequests] = {"user_context": make_form("What context should the prompt use?", "context")}
STEPS: Final[tuple[types.InputRequests, ...]] = ({"step1": NAME}, {"step2": COLOR})


def ask(
    requests: types.InputRequests, params: types.InputResponseRequestParams, *, state: str | None = None
) -> types.InputRequiredResult | None:
    """Return the questions while one of them is not answered, else None.

    Args:
        requests: by key.
        params: of the call, with the answers that came with it.
        state: what comes back with the answers, unchanged.
    """
    if not requests.keys() <= (params.input_responses or {}).keys():
        return types.InputRequiredResult(input_requests=requests, request_state=state)
    if params.request_state != state:
        raise MCPError(types.INVALID_PARAMS, "The answers belong to another question.")
    return None


def ask_step(params: types.InputResponseRequestParams) -> types.InputRequiredResult | None:
    """Return the questions of the next step, None after the last one; the state counts the steps."""
    done = int(params.request_state or 0)
    if done and ask(STEPS[done - 1], params, state=str(done)) is not None:
        done -= 1
    return types.InputRequiredResult(input_requests=STEPS[done], request_state=str(done + 1)) if done < 2 else None


def ask_what_is_declared(declared: types.ClientCapabilities | None) -> types.InputRequiredResult:
    """Return questions of the kinds that the client has said it can answer."""
    requests: types.InputRequests = {}
    if declared is not None and declared.elicitation is not None:
        requests["user_name"] = NAME
    if declared is not None and declared.sampling is not None:
        requests["capital_question"] = CAPITAL
    return types.InputRequiredResult(input_requests=requests, request_state=STATE)


def render_answers(params: types.InputResponseRequestParams) -> str:
    """Return the answers as text."""
    answers = {key: answer.model_dump_json(by_alias=True) for key, answer in (params.input_responses or {}).items()}
    return f"state-ok {answers}"
