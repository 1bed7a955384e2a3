"""Questions to people: asked in Slack, answered there by a click or in words, and fetched here."""

from typing import Annotated, Final, Literal

from pydantic import Field

from slack_mcp.core.ids import Ts, UserId
from slack_mcp.core.model import Access
from slack_mcp.ports.questions import Question, QuestionRequest, Questions
from slack_mcp.tools.call import Call, Services
from slack_mcp.tools.fields import render_ms
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.tool import Arguments, Result, Tool

MAX_WAIT_S: Final = 50
MAX_TIMEOUT_S: Final = 604_800

_WAIT = "Seconds to wait for the answer before returning; 0 returns at once."
_PATTERN_TS: Final = r"^\d{1,12}\.\d{6}$"


class AskHumanArguments(Arguments):
    """A question."""

    channel: str = Field(
        min_length=1, max_length=200, description="Where to ask: a channel's id or #name, or a person for a DM."
    )
    question: str = Field(min_length=1, max_length=3_000, description="Plain text, shown as it is.")
    options: list[Annotated[str, Field(min_length=1, max_length=75)]] = Field(
        default_factory=list, max_length=25, description="One button each. Without any, people answer in words."
    )
    allow_text: bool = Field(default=False, description="Also let people answer in words when there are options.")
    answerers: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        default_factory=list,
        max_length=50,
        description="Ids (or @names, e-mails) of those who may answer; empty means whoever sees the message.",
    )
    quorum: int = Field(default=1, ge=1, le=50, description="How many people have to answer; then it is closed.")
    timeout_s: int = Field(
        default=86_400, ge=1, le=MAX_TIMEOUT_S, description="Seconds after which nobody can answer any more."
    )
    thread_ts: str | None = Field(default=None, pattern=_PATTERN_TS, description="Ask in this thread.")
    wait_s: int = Field(default=0, ge=0, le=MAX_WAIT_S, description=_WAIT)
    request_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Your own id of this question: sent again with it, nothing is asked twice.",
    )


class GetAnswerArguments(Arguments):
    """Which question."""

    question_id: str = Field(pattern=r"^[A-Za-z0-9]{1,64}$", description="From SLACK_ASK_HUMAN.")
    wait_s: int = Field(default=0, ge=0, le=MAX_WAIT_S, description=_WAIT)


class GivenAnswer(Result):
    """What one person answered."""

    user_id: str
    answer: str
    answered_at: str = Field(description="ISO 8601, UTC.")


class QuestionResult(Result):
    """The question as it stands."""

    question_id: str
    state: Literal["open", "answered", "expired", "cancelled"]
    answers: list[GivenAnswer]
    quorum: int
    channel: str
    ts: str | None = Field(default=None, description="Of the question's message.")
    expires_at: str = Field(description="ISO 8601, UTC.")


async def _ask(call: Call, arguments: AskHumanArguments) -> QuestionResult:
    questions = _get_questions(call)
    channel_id = await call.resolve_channel(arguments.channel)
    answerers = [await call.resolve_user(each) for each in arguments.answerers]
    request = QuestionRequest(
        channel_id=channel_id,
        text=arguments.question,
        options=tuple(arguments.options),
        has_form=arguments.allow_text,
        answerers=tuple(UserId(each) for each in answerers),
        quorum=arguments.quorum,
        timeout_s=arguments.timeout_s,
        thread_ts=None if arguments.thread_ts is None else Ts(arguments.thread_ts),
        request_id=arguments.request_id,
        asked_by=call.principal.subject,
    )
    question = await questions.ask(call.connection, request, through=call.asker)
    if arguments.wait_s:
        question = await questions.fetch(call.connection, question.question_id, wait_s=arguments.wait_s)
    return _render(question)


async def _get_answer(call: Call, arguments: GetAnswerArguments) -> QuestionResult:
    questions = _get_questions(call)
    question = await questions.fetch(call.connection, arguments.question_id, wait_s=arguments.wait_s)
    return _render(question)


def _can_ask(services: Services) -> bool:
    """Tell whether a click could reach this installation."""
    return services.questions is not None


def _get_questions(call: Call) -> Questions:
    if call.services.questions is None:
        raise RuntimeError("the tool is not served without a way to ask")
    return call.services.questions


def _render(question: Question) -> QuestionResult:
    return QuestionResult(
        question_id=question.question_id,
        state=question.state.value,
        answers=[
            GivenAnswer(user_id=each.user_id, answer=each.answer, answered_at=render_ms(each.answered_at_ms))
            for each in question.answers
        ],
        quorum=question.quorum,
        channel=question.channel_id,
        ts=question.message_ts,
        expires_at=render_ms(question.expires_at_ms),
    )


TOOLS: Final = (
    Tool(
        name="SLACK_ASK_HUMAN",
        title="Ask people",
        description=(
            "Asks people in Slack with buttons, or in words, and returns the question's id. Use it for approvals and "
            "decisions. It returns at once unless wait_s is given; fetch the answer later with SLACK_GET_ANSWER."
        ),
        arguments=AskHumanArguments,
        result=QuestionResult,
        run=_ask,
        access=Access.WRITE,
        needs=Needs(bot=("chat:write",)),
        is_served=_can_ask,
    ),
    Tool(
        name="SLACK_GET_ANSWER",
        title="Get the answer to a question",
        description="Returns what people have answered to a question of SLACK_ASK_HUMAN, and whether it is still open.",
        arguments=GetAnswerArguments,
        result=QuestionResult,
        run=_get_answer,
        is_served=_can_ask,
    ),
)
