"""A question as Mesh takes it.

Source: https://github.com/decocms/studio, `apps/api/src/api/routes/decopilot/schemas.ts`.
"""

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from slack_mcp.ports.agent import AgentImage
from slack_mcp.ports.mesh import MeshTurn

WITHOUT_IMAGES: Final = "(Pictures came with the question, but you cannot be shown them: say so.)"


def render_body(turn: MeshTurn) -> dict[str, Any]:
    """Return the question in the form that all generations take: the newest refuses a key that it does not know."""
    system = [] if not turn.system_prompt else [{"role": "system", "parts": [_text(turn.system_prompt)]}]
    parts = [*map(_text, turn.background), _text(turn.question), *map(_file, turn.images)]
    # The id makes a repeated question replace the first in the history of A and B.
    question = {"id": turn.message_id, "role": "user", "parts": parts}
    return {"messages": [*system, question], "agent": {"id": turn.agent_id}, "toolApprovalLevel": "auto"}


def leave_out_images(turn: MeshTurn) -> MeshTurn:
    """Return the question for a model that cannot take its pictures."""
    return replace(turn, images=(), question=f"{turn.question}\n\n{WITHOUT_IMAGES}")


def move(turn: MeshTurn, thread_id: str) -> MeshTurn:
    """Return the question as it is put in another thread: Mesh's message ids are of one kind for all of them."""
    message_id = f"{thread_id}{turn.message_id.removeprefix(turn.thread_id)}"
    return replace(turn, thread_id=thread_id, message_id=message_id)


def _text(text: str) -> Mapping[str, str]:
    return {"type": "text", "text": text}


def _file(image: AgentImage) -> Mapping[str, str]:
    content = base64.b64encode(image.content).decode("ascii")
    return {
        "type": "file",
        "url": f"data:{image.mimetype};base64,{content}",
        "filename": image.name,
        "mediaType": image.mimetype,
    }
