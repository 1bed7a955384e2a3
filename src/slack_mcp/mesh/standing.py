"""Where a question stands in its thread, as Mesh lists it."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, TypeAlias

from slack_mcp.core.errors import MeshUnavailableError
from slack_mcp.mesh.body import leave_out_images
from slack_mcp.mesh.threads import FAILED, IN_PROGRESS
from slack_mcp.ports.mesh import MeshTurn

Parts: TypeAlias = Sequence[Any]
"""What a message says, in the AI SDK's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a question stands in its thread.

    Attributes:
        message_id: the id to post it with.
        reply: what the agent has answered already, None when it has to be asked or waited for.
        is_running: it is being answered.
        earlier_ids: the messages before it; a run that writes one of them is not this question's.
    """

    message_id: str
    reply: Parts | None
    is_running: bool
    earlier_ids: AbstractSet[str]


def find_standing(turn: MeshTurn, messages: Sequence[Mapping[str, Any]], status: str) -> Standing:
    """Return where the turn's question stands.

    The newest Mesh takes a message id once: a question whose run failed is asked again under its id with a number
    behind.

    Args:
        turn: the question.
        messages: the thread's, oldest first.
        status: the thread's.

    Raises:
        MeshUnavailableError: the agent is busy with another question; its answer would be taken for this one's.
    """
    ids = [str(message.get("id")) for message in messages]
    own = [number for number, message in enumerate(messages) if is_own(turn, message)]
    if not own:
        if status == IN_PROGRESS:
            raise _busy()
        return Standing(message_id=turn.message_id, reply=None, is_running=False, earlier_ids=frozenset(ids))
    asked_id, earlier_ids = ids[own[-1]], frozenset(ids[: own[-1]])
    # The status is that of the thread's last run.
    is_last = not any(message.get("role") == "user" for message in messages[own[-1] + 1 :])
    if status == IN_PROGRESS and is_last:
        return Standing(message_id=asked_id, reply=None, is_running=True, earlier_ids=earlier_ids)
    reply = None if status == FAILED and is_last else find_reply(messages, asked_id)
    if reply is not None:
        return Standing(message_id=asked_id, reply=reply, is_running=False, earlier_ids=earlier_ids)
    if status == IN_PROGRESS:
        raise _busy()
    again_id = f"{turn.message_id}-{len(own)}"
    return Standing(message_id=again_id, reply=None, is_running=False, earlier_ids=frozenset(ids))


def is_own(turn: MeshTurn, message: Mapping[str, Any]) -> bool:
    """Tell whether a message is the turn's question, as it was asked first or again."""
    message_id = str(message.get("id"))
    return message_id == turn.message_id or message_id.startswith(f"{turn.message_id}-")


def find_reply(messages: Sequence[Mapping[str, Any]], message_id: str) -> Parts | None:
    """Return the last thing that the agent answered to this message; None when there is nothing, or no such message."""
    ids = [message.get("id") for message in messages]
    if message_id not in ids:
        return None
    reply: Parts | None = None
    for message in messages[ids.index(message_id) + 1 :]:
        if message.get("role") == "user":
            break
        parts = message.get("parts")
        if message.get("role") == "assistant" and isinstance(parts, list) and any(map(_says_something, parts)):
            reply = parts
    return reply


def is_spoiled(messages: Sequence[Mapping[str, Any]], status: str) -> bool:
    """Tell whether a thread is good for nothing: a question with a file has no answer, and neither has any after it.

    A model that cannot take the file is shown it with every later question of the thread, and fails each time. A
    question that somebody stopped has no answer either, but those after it do.
    """
    asked = [message for message in messages if message.get("role") == "user"]
    settled = asked[:-1] if status == IN_PROGRESS else asked
    unanswered: list[Mapping[str, Any]] = []
    for message in reversed(settled):
        if find_reply(messages, str(message.get("id"))) is not None:
            break
        unanswered.append(message)
    return any(map(has_file, unanswered[1:]))


def leave_out_failed(turn: MeshTurn, messages: Sequence[Mapping[str, Any]]) -> MeshTurn:
    """Return the question without its pictures, where it was asked with them before, and had no answer."""
    has_failed = any(is_own(turn, message) and has_file(message) for message in messages)
    return leave_out_images(turn) if has_failed else turn


def has_file(message: Mapping[str, Any]) -> bool:
    """Tell whether a file came with a message."""
    parts = message.get("parts")
    return isinstance(parts, list) and any(isinstance(part, dict) and part.get("type") == "file" for part in parts)


def _busy() -> MeshUnavailableError:
    return MeshUnavailableError("The agent is still busy with another question of this thread.")


def _says_something(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    text = part.get("text")
    return part.get("type") == "file" or (part.get("type") == "text" and isinstance(text, str) and bool(text.strip()))
