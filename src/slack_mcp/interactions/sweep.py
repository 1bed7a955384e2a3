"""Ends questions whose time is over, and shows what nobody came to show."""

from typing import Final

import anyio

from slack_mcp.core.errors import SlackMcpError, StoreUnavailableError
from slack_mcp.interactions.desk import QuestionDesk
from slack_mcp.ports.directory import Directory
from slack_mcp.ports.questions import Question, QuestionStore

BATCH: Final = 16
LEASE_S: Final = 20.0
INTERVAL_S: Final = 5.0


class QuestionSweeper:
    """One step of the duty. Every pod may run one: no two of them get the same question."""

    def __init__(self, *, store: QuestionStore, desk: QuestionDesk, directory: Directory) -> None:
        self._store = store
        self._desk = desk
        self._directory = directory

    async def sweep(self) -> None:
        """Expire and show all that is due; raises StoreUnavailableError."""
        while True:
            due = await self._store.claim_due(lease_s=LEASE_S, limit=BATCH)
            async with anyio.create_task_group() as tasks:
                for question in due:
                    tasks.start_soon(self._show, question)
            if len(due) < BATCH:
                return

    async def _show(self, question: Question) -> None:
        """Show one; whatever is wrong with it or its connection, it comes again, and keeps no other from its turn."""
        try:
            connection = await self._directory.load(question.connection_id)
            if connection.disabled:  # it is to be silent
                await self._give_up(question)
            else:
                await self._desk.show(connection, question)
        except StoreUnavailableError:
            return
        except SlackMcpError:
            await self._give_up(question)

    async def _give_up(self, question: Question) -> None:
        try:
            await self._store.save_shown(question.connection_id, question.question_id)
        except SlackMcpError:
            return
