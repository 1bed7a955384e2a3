"""What tools write outside of the thread that the bot is answering in, and the click that it waits for."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import update
from toolbox import ACME, ANN, BEN, CAT, GENERAL, GLOBEX, RANDOM, Toolbox, open_toolbox

from slack_mcp.core.clock import SystemClock
from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, PodId, Ts, UserId
from slack_mcp.core.model import Claim, ConnectionSettings, Delivery, ToolPolicy, Turn, TurnState
from slack_mcp.interactions.desk import QuestionDesk
from slack_mcp.ports.questions import Question
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.simulator.model import Message
from slack_mcp.store.database import Database, open_database
from slack_mcp.store.migrate import Migrations
from slack_mcp.store.open import open_journal
from slack_mcp.store.questions import SqlQuestionStore
from slack_mcp.store.schema import questions
from slack_mcp.store.turns import SqlTurnStore
from slack_mcp.store.url import parse_database_url
from slack_mcp.tools.registry import TOOLS

pytestmark = pytest.mark.anyio

POLICY = ToolPolicy(approve_outside_thread=True)
SEND = {"channel": "#random", "text": "Deployed."}
WAIT_S = 20


@dataclass(kw_only=True)
class Desk:
    """The tools of two tenants that ask before they write, and the threads in which their bots answer."""

    box: Toolbox
    database: Database
    store: SqlQuestionStore
    turns: SqlTurnStore
    claims: dict[tuple[ConnectionId, str], Claim]

    def __post_init__(self) -> None:
        self.number = 0

    async def begin_turn(
        self,
        *,
        connection_id: ConnectionId = ACME,
        channel: str = GENERAL,
        user: str | None = ANN,
        root: str | None = None,
    ) -> Turn:
        """Let somebody ask the bot, which answers from now on."""
        message = self.box.workspace(connection_id).say(user or ANN, channel, "Do it.", root).message
        self.number += 1
        turn = Turn(
            connection_id=connection_id,
            channel_id=ChannelId(channel),
            message_ts=Ts(message.ts),
            thread_ts=Ts(root or message.ts),
            event_id=EventId(f"Ev{self.number}"),
            user_id=None if user is None else UserId(user),
            state=TurnState.STARTED,
            question="Do it.",
        )
        lane = f"{channel}:{turn.thread_ts}"
        if (connection_id, lane) not in self.claims:
            self.claims[connection_id, lane] = await self._claim(turn, lane)
        return await self.turns.begin_turn(turn)

    async def _claim(self, turn: Turn, lane: str) -> Claim:
        journal = open_journal(self.database, Sealer(None), PodId("pod-a"), clock=SystemClock())
        delivery = Delivery(
            connection_id=turn.connection_id,
            event_id=turn.event_id,
            event_time=1_800_000_000,
            lane=lane,
            event_type="message",
            payload=b"{}",
        )
        await journal.append([delivery])
        claims = await journal.claim(PodId("pod-a"), max_lanes=9, lanes_per_connection=9, lease_s=60, events_per_lane=9)
        return next(claim for claim in claims if claim.lane == lane)

    async def end_turn(self, turn: Turn) -> None:
        """Let the bot have answered."""
        await self.turns.save_turn(
            replace(turn, state=TurnState.FINISHED),
            self.claims[turn.connection_id, f"{turn.channel_id}:{turn.thread_ts}"],
        )

    async def set_policy(self, policy: ToolPolicy = POLICY, **settings: Any) -> None:
        for connection_id in (ACME, GLOBEX):
            await self.box.change(connection_id, settings=ConnectionSettings(tools=policy, **settings))

    def asked(self, channel: str = GENERAL, *, connection_id: ConnectionId = ACME) -> list[Message]:
        """Return the questions that stand in a channel."""
        messages = self.box.workspace(connection_id).find_channel(channel).messages.values()
        return [each for each in messages if (each.metadata or {}).get("event_type") == "slack_mcp_question"]

    async def click(self, message: Message, *, number: int = 0, connection_id: ConnectionId = ACME) -> None:
        """Answer as the button does: 0 approves, 1 rejects."""
        question = await self.load(message, connection_id=connection_id)
        person = question.answerers[0] if question.answerers else UserId(BEN)
        recorded = await self.store.add_answer(connection_id, question.question_id, person, question.options[number])
        assert recorded is not None
        assert recorded.is_taken

    async def load(self, message: Message, *, connection_id: ConnectionId = ACME) -> Question:
        assert message.metadata is not None
        found = await self.store.load_question(connection_id, message.metadata["event_payload"]["question_id"])
        assert found is not None
        return found

    def said(self, channel: str = RANDOM, *, connection_id: ConnectionId = ACME) -> list[str]:
        """Return what the bot has said in a channel."""
        messages = self.box.workspace(connection_id).find_channel(channel).messages.values()
        return [each.text for each in messages if each.bot_id]

    async def audited(self, connection_id: ConnectionId = ACME) -> list[tuple[str, str, str]]:
        """Return (who, tool, how it ended), oldest first."""
        return [(each.actor, each.tool, each.result) for each in (await self.box.audited(connection_id))[::-1]]


@asynccontextmanager
async def open_desk(*, wait_s: float = 0.05) -> AsyncIterator[Desk]:
    clock = SystemClock()
    sealer = Sealer(KeyRing.generate("test"))
    url = parse_database_url(":memory:", data_dir=Path())
    async with open_toolbox(TOOLS) as box, open_database(url) as database:
        await Migrations(url, database=database).up()
        store, turns = SqlQuestionStore(database, sealer, clock=clock), SqlTurnStore(database, sealer, clock=clock)
        asking = QuestionDesk(store=store, slack=box.services.slack, clock=clock, poll_s=0.01)
        box.services = replace(box.services, questions=asking, threads=turns, approval_wait_s=wait_s)
        desk = Desk(box=box, database=database, store=store, turns=turns, claims={})
        await desk.set_policy()
        yield desk


async def test_without_the_policy_nobody_is_asked() -> None:
    async with open_desk() as desk:
        await desk.set_policy(ToolPolicy())
        await desk.box.ok("SLACK_SEND_MESSAGE", SEND)
        assert desk.said() == ["Deployed."]


Make = Callable[[Desk, Turn], Awaitable[tuple[str, dict[str, Any]]]]


async def post(desk: Desk, turn: Turn) -> tuple[str, dict[str, Any]]:
    return "SLACK_REPLY_IN_THREAD", {"channel": "#general", "thread_ts": turn.thread_ts, "text": "Here."}


async def whisper(desk: Desk, turn: Turn) -> tuple[str, dict[str, Any]]:
    return "SLACK_SEND_EPHEMERAL", {"channel": GENERAL, "thread_ts": turn.thread_ts, "user": ANN, "text": "Here."}


async def upload(desk: Desk, turn: Turn) -> tuple[str, dict[str, Any]]:
    where = {"channel": GENERAL, "thread_ts": turn.thread_ts}
    return "SLACK_UPLOAD_FILE", {**where, "filename": "a.txt", "content": "Here."}


async def react_to_the_question(desk: Desk, turn: Turn) -> tuple[str, dict[str, Any]]:
    return "SLACK_ADD_REACTION", {"channel": GENERAL, "timestamp": turn.message_ts, "emoji": "eyes"}


async def react_to_a_reply(desk: Desk, turn: Turn) -> tuple[str, dict[str, Any]]:
    reply = desk.box.workspace().say(BEN, GENERAL, "Well.", turn.thread_ts).message
    return "SLACK_ADD_REACTION", {"channel": GENERAL, "timestamp": reply.ts, "emoji": "eyes"}


async def edit(desk: Desk, turn: Turn) -> tuple[str, dict[str, Any]]:
    ts = (await desk.box.ok(*await post(desk, turn)))["ts"]
    return "SLACK_EDIT_MESSAGE", {"channel": GENERAL, "ts": ts, "text": "There."}


async def delete(desk: Desk, turn: Turn) -> tuple[str, dict[str, Any]]:
    ts = (await desk.box.ok(*await post(desk, turn)))["ts"]
    return "SLACK_DELETE_MESSAGE", {"channel": GENERAL, "ts": ts}


async def ask_elsewhere(desk: Desk, turn: Turn) -> tuple[str, dict[str, Any]]:
    return "SLACK_ASK_HUMAN", {"channel": RANDOM, "question": "Ship?"}


async def look_elsewhere(desk: Desk, turn: Turn) -> tuple[str, dict[str, Any]]:
    return "SLACK_GET_CHANNEL_HISTORY", {"channel": RANDOM}


async def look_at_a_direct_message(desk: Desk, turn: Turn) -> tuple[str, dict[str, Any]]:
    return "SLACK_GET_CHANNEL_HISTORY", {"channel": f"@{desk.box.workspace().users[BEN].name}"}


@pytest.mark.parametrize(
    "make",
    [
        post,
        whisper,
        upload,
        react_to_the_question,
        react_to_a_reply,
        edit,
        delete,
        ask_elsewhere,
        look_elsewhere,
        look_at_a_direct_message,
    ],
)
async def test_what_stays_in_the_thread_or_writes_nothing_waits_for_nobody(make: Make) -> None:
    async with open_desk() as desk:
        turn = await desk.begin_turn()
        await desk.begin_turn(channel=RANDOM)  # another one at the same time does not matter
        name, arguments = await make(desk, turn)
        await desk.box.ok(name, arguments)
        assert desk.asked() == []


async def send_to_the_channel_itself(desk: Desk, turn: Turn) -> tuple[str, dict[str, Any]]:
    return "SLACK_SEND_MESSAGE", {"channel": GENERAL, "text": "Here."}


async def show_a_reply_in_the_channel(desk: Desk, turn: Turn) -> tuple[str, dict[str, Any]]:
    where = {"channel": GENERAL, "thread_ts": turn.thread_ts}
    return "SLACK_SEND_MESSAGE", {**where, "text": "Here.", "reply_broadcast": True}


async def reply_in_another_thread(desk: Desk, turn: Turn) -> tuple[str, dict[str, Any]]:
    root = desk.box.workspace().say(BEN, GENERAL, "Other.").message
    return "SLACK_REPLY_IN_THREAD", {"channel": GENERAL, "thread_ts": root.ts, "text": "Here."}


async def reply_by_the_same_ts_elsewhere(desk: Desk, turn: Turn) -> tuple[str, dict[str, Any]]:
    return "SLACK_REPLY_IN_THREAD", {"channel": RANDOM, "thread_ts": turn.thread_ts, "text": "Here."}


async def react_to_another_message(desk: Desk, turn: Turn) -> tuple[str, dict[str, Any]]:
    other = desk.box.workspace().say(BEN, GENERAL, "Other.").message
    return "SLACK_ADD_REACTION", {"channel": GENERAL, "timestamp": other.ts, "emoji": "eyes"}


async def pin(desk: Desk, turn: Turn) -> tuple[str, dict[str, Any]]:
    return "SLACK_PIN_MESSAGE", {"channel": GENERAL, "timestamp": turn.message_ts}


async def write_to_a_person(desk: Desk, turn: Turn) -> tuple[str, dict[str, Any]]:
    return "SLACK_SEND_MESSAGE", {"channel": BEN, "text": "Here."}


async def set_a_topic(desk: Desk, turn: Turn) -> tuple[str, dict[str, Any]]:
    return "SLACK_SET_TOPIC", {"channel": GENERAL, "topic": "Cake."}


async def keep_a_file(desk: Desk, turn: Turn) -> tuple[str, dict[str, Any]]:
    return "SLACK_UPLOAD_FILE", {"filename": "a.txt", "content": "Here."}


@pytest.mark.parametrize(
    "make",
    [
        send_to_the_channel_itself,
        show_a_reply_in_the_channel,
        reply_in_another_thread,
        reply_by_the_same_ts_elsewhere,
        react_to_another_message,
        pin,
        write_to_a_person,
        set_a_topic,
        keep_a_file,
    ],
)
async def test_everything_else_waits_for_a_click(make: Make) -> None:
    async with open_desk() as desk:
        turn = await desk.begin_turn()
        name, arguments = await make(desk, turn)
        desk.box.simulator.calls.clear()
        error = await desk.box.error(name, arguments)
        assert "click" in error
        (asked,) = desk.asked()
        assert asked.thread_ts == turn.thread_ts
        writes = {
            "chat.postMessage",
            "reactions.add",
            "pins.add",
            "conversations.setTopic",
            "files.getUploadURLExternal",
        }
        assert [method for method in desk.box.methods() if method in writes] == ["chat.postMessage"]


async def test_call_goes_on_as_soon_as_it_is_approved() -> None:
    async with open_desk(wait_s=WAIT_S) as desk:
        turn = await desk.begin_turn()
        results: list[dict[str, Any]] = []

        async def call() -> None:
            results.append(await desk.box.ok("SLACK_SEND_MESSAGE", SEND))

        with anyio.fail_after(WAIT_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await desk.box.simulator.changes.wait_until(lambda: bool(desk.asked()))
                (asked,) = desk.asked()
                question = await desk.load(asked)
                assert desk.said() == []
                await desk.click(asked)
        assert results[0]["channel"] == RANDOM
        assert desk.said() == ["Deployed."]
        assert (question.answerers, question.channel_id, question.thread_ts) == ((ANN,), GENERAL, turn.thread_ts)
        assert question.options == ("Approve", "Reject")
        assert question.text == (
            "May I do this outside of this thread? SLACK_SEND_MESSAGE\n"
            f"→: #random ({RANDOM})\n"
            "channel: #random\n"
            "text: Deployed."
        )
        assert await desk.audited() == [
            ("mesh:user_1", "SLACK_SEND_MESSAGE", "ok"),
            ("mesh:user_1", "SLACK_SEND_MESSAGE", "approval_asked"),
            (f"slack:{ANN}", "SLACK_SEND_MESSAGE", "approved"),
        ]
        assert {each.target for each in await desk.box.audited()} >= {f"{GENERAL}/{asked.ts}"}


async def test_same_call_finds_its_question_and_an_approval_is_good_for_one_execution() -> None:
    async with open_desk() as desk:
        await desk.begin_turn()
        for _ in range(2):
            assert "approves it there" in await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        (first,) = desk.asked()
        await desk.click(first)
        await desk.box.ok("SLACK_SEND_MESSAGE", SEND)
        assert "approves it there" in await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        assert len(desk.asked()) == 2
        assert desk.said() == ["Deployed."]
        await desk.click(desk.asked()[1])
        await desk.box.ok("SLACK_SEND_MESSAGE", SEND)
        assert desk.said() == ["Deployed."] * 2


async def test_approval_holds_for_the_call_as_it_was_shown_alone() -> None:
    async with open_desk() as desk:
        await desk.begin_turn()
        await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        await desk.click(desk.asked()[0])
        for other in (SEND | {"text": "Something else."}, SEND | {"channel": BEN}, SEND | {"unfurl_links": True}):
            assert "approves it there" in await desk.box.error("SLACK_SEND_MESSAGE", other)
        assert "approves it there" in await desk.box.error("SLACK_SET_TOPIC", {"channel": RANDOM, "topic": "x"})
        assert desk.said() == []


async def test_approval_that_came_late_is_found_by_the_threads_next_turn() -> None:
    async with open_desk() as desk:
        turn = await desk.begin_turn()
        await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        await desk.end_turn(turn)
        await desk.click(desk.asked()[0])
        await desk.begin_turn(root=turn.thread_ts)
        await desk.box.ok("SLACK_SEND_MESSAGE", SEND)
        assert len(desk.asked()) == 1


async def test_approval_of_one_person_is_not_good_for_another_ones_turn() -> None:
    async with open_desk() as desk:
        turn = await desk.begin_turn()
        await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        await desk.end_turn(turn)
        await desk.click(desk.asked()[0])
        await desk.begin_turn(root=turn.thread_ts, user=BEN)
        await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        assert [(await desk.load(each)).answerers for each in desk.asked()] == [(ANN,), (BEN,)]


async def test_rejection_holds_for_the_turn_in_which_it_was_given() -> None:
    async with open_desk() as desk:
        turn = await desk.begin_turn()
        await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        await desk.click(desk.asked()[0], number=1)
        for _ in range(2):
            assert "rejected" in await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        assert [each for each in await desk.audited() if each[2] == "rejected"] == [
            (f"slack:{ANN}", "SLACK_SEND_MESSAGE", "rejected")
        ]
        await desk.end_turn(turn)
        await desk.begin_turn(root=turn.thread_ts)
        assert "approves it there" in await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        assert len(desk.asked()) == 2
        assert desk.said() == []


async def test_approval_and_question_are_good_for_a_while_only() -> None:
    async with open_desk() as desk:
        await desk.begin_turn()
        await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        async with desk.database.transaction() as database:
            await database.execute(update(questions).values(expires_at_ms=1))
        await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        assert len(desk.asked()) == 2
        await desk.click(desk.asked()[1])
        desk.box.services = replace(desk.box.services, clock=_Late())
        await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        assert len(desk.asked()) == 3
        assert desk.said() == []


class _Late(SystemClock):
    """Sixteen minutes later."""

    def now_s(self) -> float:
        return super().now_s() + 960


async def test_question_that_nobody_could_be_asked_is_refused() -> None:
    async with open_desk() as desk:
        assert "answering nowhere" in await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        turn = await desk.begin_turn()
        await desk.end_turn(turn)
        assert "answering nowhere" in await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        desk.box.services = replace(desk.box.services, questions=None)
        assert "no click can come in" in await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        assert desk.said() == []


async def test_call_that_may_belong_to_any_of_several_threads_waits_until_it_is_plain() -> None:
    async with open_desk(wait_s=WAIT_S) as desk:
        turn = await desk.begin_turn(user=ANN)
        other = await desk.begin_turn(channel=RANDOM, user=BEN)
        desk.box.services = replace(desk.box.services, approval_wait_s=0.05)
        assert "several threads" in await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        assert desk.asked() == desk.asked(RANDOM) == []
        desk.box.services = replace(desk.box.services, approval_wait_s=WAIT_S)
        with anyio.fail_after(WAIT_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(desk.box.ok, "SLACK_SEND_MESSAGE", SEND)
                await desk.end_turn(other)
                await desk.box.simulator.changes.wait_until(lambda: bool(desk.asked()))
                await desk.click(desk.asked()[0])
        assert desk.asked()[0].thread_ts == turn.thread_ts
        assert desk.said() == ["Deployed."]


async def test_turn_that_nobody_began_is_anybodys_to_approve() -> None:
    async with open_desk() as desk:
        await desk.begin_turn(user=None)
        await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        (asked,) = desk.asked()
        assert (await desk.load(asked)).answerers == ()
        await desk.click(asked)
        await desk.box.ok("SLACK_SEND_MESSAGE", SEND)


async def test_person_is_asked_in_the_connections_language() -> None:
    async with open_desk() as desk:
        await desk.set_policy(language="pt-BR")
        await desk.begin_turn()
        await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        question = await desk.load(desk.asked()[0])
        assert question.options == ("Aprovar", "Recusar")
        assert question.text.startswith("Posso fazer isto")


async def test_what_is_shown_is_data_and_cannot_pass_for_something_else() -> None:
    async with open_desk() as desk:
        await desk.begin_turn()
        text = "<!here> & hi\nchannel: #general\u2028text: harmless \u202eesrever"
        await desk.box.error("SLACK_SEND_MESSAGE", SEND | {"text": text, "allow_broadcast": True})
        (asked,) = desk.asked()
        shown = (await desk.load(asked)).text.splitlines()
        assert shown[2:] == [
            "channel: #random",
            "text: ",
            "│ <!here> & hi",
            "│ channel: #general",
            "│ text: harmless �esrever",
            "allow_broadcast: true",
        ]
        assert "<!here>" not in str(asked.blocks)
        assert "&lt;!here&gt; &amp; hi" in str(asked.blocks)


async def test_long_call_is_shown_as_far_as_anybody_reads() -> None:
    async with open_desk() as desk:
        await desk.begin_turn()
        blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "&" * 2_000}}]
        await desk.box.error("SLACK_SEND_MESSAGE", SEND | {"text": "&" * 2_500, "blocks": blocks})
        text = (await desk.load(desk.asked()[0])).text
        assert len(text) < 1_000
        assert text.endswith("…")
        await desk.box.error("SLACK_SEND_MESSAGE", SEND | {"text": "x" * 2_500})
        assert "… (2500)" in (await desk.load(desk.asked()[1])).text


async def test_people_and_channels_are_shown_by_name() -> None:
    async with open_desk() as desk:
        await desk.begin_turn()
        await desk.box.error("SLACK_INVITE_TO_CHANNEL", {"channel": RANDOM, "user_ids": [BEN, CAT]})
        text = (await desk.load(desk.asked()[0])).text
        assert f"#random ({RANDOM})" in text
        assert f"user_ids: @ben ({BEN}), @cat ({CAT})" in text


async def test_policys_other_rules_come_first_and_nobody_is_asked() -> None:
    async with open_desk() as desk:
        await desk.set_policy(replace(POLICY, write_channels=(ChannelId(GENERAL),)))
        await desk.begin_turn()
        assert "does not let tools write" in await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        assert desk.asked() == []


async def test_same_call_is_not_asked_about_for_ever() -> None:
    async with open_desk() as desk:
        await desk.begin_turn()
        for _ in range(20):
            await desk.box.error("SLACK_SEND_MESSAGE", SEND)
            await desk.click(desk.asked()[-1])
            await desk.box.ok("SLACK_SEND_MESSAGE", SEND)
        assert "too often" in await desk.box.error("SLACK_SEND_MESSAGE", SEND)


async def test_two_executions_at_once_need_two_clicks() -> None:
    async with open_desk() as desk:
        await desk.begin_turn()
        await desk.box.error("SLACK_SEND_MESSAGE", SEND)
        await desk.click(desk.asked()[0])
        outcomes: list[bool] = []

        async def call() -> None:
            outcomes.append((await desk.box.call("SLACK_SEND_MESSAGE", SEND)).is_error is True)

        with anyio.fail_after(WAIT_S):
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(call)
        assert sorted(outcomes) == [False, True, True]
        assert desk.said() == ["Deployed."]


async def test_tenants_ask_and_approve_each_for_itself() -> None:
    async with open_desk() as desk:
        turns = [await desk.begin_turn(connection_id=each) for each in (ACME, GLOBEX)]
        # Nobody is answering for ACME in GLOBEX's thread, though it has the same ids.
        await desk.end_turn(turns[1])
        arguments = {"channel": GENERAL, "thread_ts": turns[0].thread_ts, "text": "Here."}
        assert "answering nowhere" in await desk.box.error("SLACK_REPLY_IN_THREAD", arguments, connection_id=GLOBEX)
        again = await desk.begin_turn(connection_id=GLOBEX)
        for connection_id in (ACME, GLOBEX):
            await desk.box.error("SLACK_SEND_MESSAGE", SEND, connection_id=connection_id)
        (of_acme,), (of_globex,) = desk.asked(), desk.asked(connection_id=GLOBEX)
        assert of_globex.thread_ts == again.thread_ts
        await desk.click(of_acme)
        assert "approves it there" in await desk.box.error("SLACK_SEND_MESSAGE", SEND, connection_id=GLOBEX)
        await desk.box.ok("SLACK_SEND_MESSAGE", SEND)
        assert (desk.said(), desk.said(connection_id=GLOBEX)) == (["Deployed."], [])
