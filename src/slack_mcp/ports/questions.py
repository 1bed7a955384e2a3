"""Questions to people: what is kept of them, by whom, and what a tool can do with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from slack_mcp.core.ids import ChannelId, ConnectionId, Ts, UserId
from slack_mcp.core.model import Connection
from slack_mcp.ports.slack import SlackWeb


class QuestionState(StrEnum):
    """Where a question stands."""

    OPEN = "open"
    ANSWERED = "answered"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one person answered."""

    user_id: UserId
    answer: str
    answered_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question that was put to people.

    Attributes:
        question_id: unique within the connection, and opaque.
        message_ts: None until it was posted.
        asked_by: who called the tool, for the operator.
        options: the buttons, none for a question that is answered in words only.
        has_form: whether it can be answered in words.
        answerers: who may answer; empty means whoever sees it.
        quorum: how many people have to answer.
        answers: one of each person, oldest first.
        is_used: what was answered has been acted upon, which is done once.
    """

    connection_id: ConnectionId
    question_id: str
    channel_id: ChannelId
    thread_ts: Ts | None
    message_ts: Ts | None
    asked_by: str
    text: str
    options: tuple[str, ...]
    has_form: bool
    answerers: tuple[UserId, ...]
    quorum: int
    state: QuestionState
    expires_at_ms: int
    created_at_ms: int
    answers: tuple[Answer, ...] = ()
    is_used: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What came of an answer.

    Attributes:
        question: as it stands now.
        is_taken: False when the question was closed before.
    """

    question: Question
    is_taken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionRequest:
    """What a tool asks for.

    Attributes:
        timeout_s: seconds from now on until nobody can answer any more.
        request_id: the same one is the same question, however often it is asked.
        asked_by: who calls.
    """

    channel_id: ChannelId
    text: str
    options: tuple[str, ...] = ()
    has_form: bool = False
    answerers: tuple[UserId, ...] = ()
    quorum: int = 1
    timeout_s: float
    thread_ts: Ts | None = None
    request_id: str | None = None
    asked_by: str


class QuestionStore(Protocol):
    """The questions in the database, their texts sealed. Every method may raise `StoreUnavailableError`."""

    async def add_question(self, question: Question) -> Question | None:
        """Insert the question; returns the one that stands when there is one with its id already, else None."""
        ...

    async def load_question(self, connection_id: ConnectionId, question_id: str) -> Question | None:
        """Return the question with its answers, None when this connection has none with the id."""
        ...

    async def claim_posting(self, connection_id: ConnectionId, question_id: str, *, lease_s: float) -> bool:
        """Tell whether the caller is to post the question, which somebody began to more than `lease_s` ago."""
        ...

    async def save_posted(self, connection_id: ConnectionId, question_id: str, message_ts: Ts) -> None:
        """Store the message that the question stands in, unless it is known."""
        ...

    async def cancel_question(self, connection_id: ConnectionId, question_id: str) -> None:
        """Close the question, if it is open: it could not be asked."""
        ...

    async def remove_question(self, connection_id: ConnectionId, question_id: str) -> None:
        """Delete a question that nobody has seen."""
        ...

    async def add_answer(
        self, connection_id: ConnectionId, question_id: str, user_id: UserId, answer: str
    ) -> Recorded | None:
        """Record the answer in place of the person's earlier one, and close the question when the quorum is reached.

        None when this connection has no such question. An answer that is recorded already, by an earlier run of the
        same event, is taken also when the question is closed.
        """
        ...

    async def use_answer(self, connection_id: ConnectionId, question_id: str) -> bool:
        """Tell whether the caller is to act upon the answer: the first who asks this of an answered question is."""
        ...

    async def claim_due(self, *, lease_s: float, limit: int) -> Sequence[Question]:
        """Expire what is over, and return what is closed and not shown as closed yet.

        What is returned is the caller's for `lease_s` seconds; two callers never get the same.
        """
        ...

    async def expire_question(self, connection_id: ConnectionId, question_id: str) -> Question | None:
        """Expire the question if its time is over; returns it as it stands."""
        ...

    async def save_shown(self, connection_id: ConnectionId, question_id: str) -> None:
        """Note that the question's message shows how it ended."""
        ...

    async def delete_questions(self, *, before_s: float, limit: int) -> int:
        """Delete up to `limit` closed questions, which ended more than `before_s` seconds ago; returns how many."""
        ...


class Questions(Protocol):
    """Asks people, for the tools."""

    async def ask(self, connection: Connection, request: QuestionRequest, *, through: SlackWeb) -> Question:
        """Post the question and return it.

        Args:
            connection: whose bot asks.
            request: what is asked.
            through: the connection's Web API, as far as whoever asks may use it.

        Raises:
            InvalidInputError: Slack would not take it as it is.
            ConflictError: another question was asked with this request id.
            SlackMcpError: it could not be posted.
        """
        ...

    async def fetch(self, connection: Connection, question_id: str, *, wait_s: float) -> Question:
        """Return the question, once it is closed or `wait_s` seconds have passed.

        Raises:
            InvalidInputError: this connection has no such question.
        """
        ...

    async def use_answer(self, connection: Connection, question_id: str) -> bool:
        """Tell whether the caller is to act upon the answer: the first who asks this of an answered question is."""
        ...
