"""One slash command or interaction, from path, headers and body to status, headers and body."""

import json
from collections.abc import Mapping
from typing import Final

import anyio

from slack_mcp.core.errors import ConnectionNotFoundError, SlackMcpError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.inbox.forms import FormReceiver
from slack_mcp.ports.metrics import NoteAnswer, ignore_answer
from slack_mcp.web.intake import ACCEPTED, ANSWER_TIMEOUT_S, JSON, Answer, is_id, make_late_error, make_request, refuse

PATHS: Final = ("/slack/commands", "/slack/interactive")


class FormIntake:
    """Hands forms to the receiver and puts into HTTP what comes of them.

    Attributes:
        note: hears of each answer, from whoever gives it.
    """

    def __init__(self, receiver: FormReceiver, *, note: NoteAnswer = ignore_answer) -> None:
        self._receiver = receiver
        self.note = note

    async def take(self, name: str, headers: Mapping[bytes, bytes], body: bytes) -> Answer:
        """Return the answer to a form.

        Args:
            name: what stands in the path behind the door's own; empty for the address that all workspaces share.
            headers: by name in lower case.
            body: the raw bytes.
        """
        request = make_request(headers, body)
        try:
            with anyio.fail_after(ANSWER_TIMEOUT_S):
                if not name:
                    answer = await self._receiver.receive_shared(request)
                elif is_id(name):
                    answer = await self._receiver.receive(ConnectionId(name), request)
                else:
                    return refuse(ConnectionNotFoundError(ConnectionId(name)), name)
        except SlackMcpError as error:
            return refuse(error, name)
        except TimeoutError:
            return refuse(make_late_error(), name)
        # An empty 200 acknowledges, and closes a form: https://docs.slack.dev/interactivity/handling-user-interaction
        return ACCEPTED if answer is None else Answer(200, (JSON,), json.dumps(answer).encode())
