"""An answer while it is written."""

from collections.abc import Sequence
from typing import Final

from slack_mcp.core.model import Connection
from slack_mcp.ports.agent import AgentFile, AgentTask
from slack_mcp.protocol.mentions import Neutralizer
from slack_mcp.protocol.mrkdwn import clean
from slack_mcp.protocol.pieces import Pieces

MAX_ANSWER_CHARS: Final = 40_000  # about eleven messages; an agent without an end would fill the pod's memory


class Draft:
    """What the agent has said so far, and what people may be shown of it.

    Args:
        connection: whose bot it is: its settings say who may be mentioned.
        text: what was said already.
    """

    def __init__(self, connection: Connection, *, text: str = "") -> None:
        self.pieces = Pieces()
        self.files: list[AgentFile] = []
        self.tasks: list[AgentTask] = []
        self.is_stopped = False
        self._neutralizer = Neutralizer(allow_people=connection.settings.allow_mentions)
        self._said: list[str] = []
        self.is_full = False
        self._room_chars = MAX_ANSWER_CHARS
        self._has_new_text = False
        if text:
            self.add(text)

    @property
    def text(self) -> str:
        """The answer as the agent wrote it."""
        return "".join(self._said)

    @property
    def has_news(self) -> bool:
        """Whether there is something that nobody was asked to show yet."""
        return self._has_new_text or bool(self.tasks)

    def feed(self, text: str) -> None:
        """Take the next piece of the answer, as far as there is room for it."""
        text = clean(text)
        self.is_full = len(text) > self._room_chars
        text = text[: self._room_chars]
        self._room_chars -= len(text)
        self.add(text)

    def add(self, text: str) -> None:
        """Take what the bot itself adds."""
        self._said.append(text)
        self.pieces.feed(self._neutralizer.feed(text))
        self._has_new_text = True

    def add_note(self, note: str) -> None:
        """Take a paragraph of the bot's own; code that the agent did not end is ended before it."""
        fence = self.pieces.open_fence
        self.add("".join([f"\n{fence}" if fence else "", "\n\n" if self.text.strip() else "", note]))

    def take_tasks(self) -> Sequence[AgentTask]:
        """Return what the agent did since the last time, and take the text for shown."""
        tasks, self.tasks, self._has_new_text = tuple(self.tasks), [], False
        return tasks

    def put_back(self, tasks: Sequence[AgentTask]) -> None:
        """Keep what could not be shown for the next time."""
        self.tasks[:0] = tasks
        self._has_new_text = True

    def finish(self) -> Pieces:
        """Return the pieces of the whole answer."""
        self.pieces.feed(self._neutralizer.finish())
        self.pieces.finish()
        return self.pieces
