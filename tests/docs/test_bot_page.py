import re

import pytest
from bot_fakes import make_connection
from command_fakes import Commands
from doc_pages import load_page, read_tables
from stepping_clock import SteppingClock

from slack_mcp.agents import mesh_events
from slack_mcp.agents.openai_chat import OpenAiAgent
from slack_mcp.attachments import deliver, parse_image, parse_pdf, reader
from slack_mcp.attachments.sandbox import WorkerLimits
from slack_mcp.bot import context_summary, draft, present, stream
from slack_mcp.bot.trace import Trace
from slack_mcp.budget import limits
from slack_mcp.budget.line import KEPT_FOR_PEOPLE
from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, Ts
from slack_mcp.core.model import ConnectionSettings, Distribution, EventState, Turn, TurnState
from slack_mcp.ports.explain import ExplainedEvent
from slack_mcp.protocol import pieces
from slack_mcp.surfaces import prompts
from slack_mcp.tools import approvals

PAGE = load_page("docs/bot.md")
PROSE = " ".join(PAGE.prose.split())
MIB = 1024 * 1024
WORKER = WorkerLimits()
NUMBERS = {
    "summaries": f"the model took more than {context_summary.SUMMARY_TIMEOUT_S:g} seconds",
    "refused streams": f"tries no stream for {'ten' if present.REFUSALS_TTL_S == 600 else '?'} minutes",
    "pace of a stream": f"grows every {present.Pace().stream_s:g} seconds",
    "pace of edits": f"edited every {present.Pace().edit_s:g} seconds",
    "length of a message": f"before {pieces.MAX_CHARS:_} characters",
    "age of a stream": f"A stream that is {'four' if stream.MAX_AGE_S == 240 else '?'} minutes old",
    "length of an answer": f"longer than {draft.MAX_ANSWER_CHARS:_} characters",
    "side of a picture": f"at most {parse_image.MAX_SIDE_PX:_} pixels wide and high",
    "pages": f"of {parse_pdf.MAX_PAGES} pages at most",
    "texts": f"may have {reader.MAX_TEXT_BYTES:_} bytes",
    "files": f"may have {reader.MAX_FILES} files, {reader.MAX_IMAGES} of them pictures",
    "time for files": f"longer than {reader.READ_TIMEOUT_S:g} seconds altogether",
    "files in memory": f"up to {reader.FILES_AT_ONCE} of them in memory, {reader.FILES_OF_A_CONNECTION_AT_ONCE} of one",
    "memory for a file": f"with {WORKER.memory_bytes // MIB} MiB",
    "time for a file": f"{WORKER.cpu_s} seconds of computing and {WORKER.wall_s:g} seconds in all",
    "files out": f"may make files; {deliver.MAX_FILES} of them, {mesh_events.MAX_FILES_BYTES // MIB} MiB in all",
    "prompts": f"up to {prompts.MAX_PROMPTS} prompts",
    "suggested prompts": f"suggests for {'six' if prompts.ASKED_TTL_S == 6 * 3600 else '?'} hours",
    "burst": f"{'A quarter' if limits.BURST == 1 / 4 else '?'} of a minute's calls may be made at once",
    "burst in a channel": f"in one channel, {limits.PER_CHANNEL_BURST:g} new messages",
    "drafts": f"leave {'half' if KEPT_FOR_PEOPLE == 1 / 2 else '?'} of a bucket",
    "wait for an approval": f"waits up to {approvals.WAIT_S:g} seconds",
    "life of an approval": f"within {approvals.APPROVAL_LIFETIME_S / 60:g} minutes",
    "life of its question": f"open for {'an hour' if approvals.ANSWER_TIMEOUT_S == 3600 else '?'}",
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_those_of_the_code(name: str) -> None:
    assert NUMBERS[name].replace("_", " ") in PROSE


def test_both_ways_of_files_out_have_the_same_number() -> None:
    assert deliver.MAX_FILES == mesh_events.MAX_FILES


def test_calls_in_a_minute_are_those_of_the_budget() -> None:
    connection = make_connection()
    for names, told, *_ in read_tables(PAGE.get_section("The budget of calls")):
        if names == "new messages in one channel":
            assert float(told) == limits.PER_CHANNEL
            continue
        for method in re.findall(r"`([\w.]+)`", names):
            assert float(told.partition(" ")[0].rstrip(";")) == limits.get_per_minute(connection, method), method


def test_reading_of_an_unlisted_app_is_what_the_page_says() -> None:
    unlisted = make_connection(settings=ConnectionSettings(distribution=Distribution.UNLISTED))
    assert f"{limits.get_per_minute(unlisted, 'conversations.replies'):g} with the `DISTRIBUTION` `unlisted`" in PROSE


def make_story() -> ExplainedEvent:
    """Return what is known of an answer whose pod was killed in the middle of a stream."""
    clock = SteppingClock()
    trace = Trace((), clock=clock)
    began_ms = int(clock.now_s() * 1000)
    clock.time_s += 1
    trace.note("run", pod="pod-a", attempts=0, takeovers=0)
    trace.note("agent", backend=OpenAiAgent.__name__)
    trace.note_call("assistant.threads.setStatus", None)
    clock.time_s += 1
    trace.note_call("chat.startStream", None)
    clock.time_s += 14
    trace.note("run", pod="pod-b", attempts=0, takeovers=1)
    trace.note("agent", backend=OpenAiAgent.__name__)
    clock.time_s += 6
    trace.note("answered", chars=1240)
    trace.note_call("chat.update", "streaming_state_conflict")
    trace.note_call("chat.stopStream", None)
    clock.time_s += 1
    trace.note_call("chat.update", None)
    root = Ts("1800000000.000100")
    turn = Turn(
        connection_id=ConnectionId("conn_acme"),
        channel_id=ChannelId("C0123456789"),
        message_ts=root,
        thread_ts=root,
        event_id=EventId("Ev0123456789"),
        user_id=None,
        state=TurnState.FINISHED,
        question="",
        parts=(Ts("1800000002.000200"),),
        trace=trace.steps,
    )
    return ExplainedEvent(
        id=1,
        connection_id=turn.connection_id,
        event_id=turn.event_id,
        event_type="app_mention",
        lane=f"{turn.channel_id}:{root}",
        state=EventState.DONE,
        reason="answered",
        detail=None,
        attempts=0,
        retry_num=0,
        retry_reason=None,
        received_by="pod-b",
        received_at_ms=began_ms,
        next_attempt_at_ms=None,
        finished_at_ms=int(clock.now_s() * 1000),
        message_ts=root,
        standing=None,
        turn=turn,
    )


def test_the_story_of_a_message_is_the_one_that_the_page_shows() -> None:
    commands = Commands()
    commands.explainer.events = [make_story()]
    blocks = [block.text for block in PAGE.blocks]
    asked = next(number for number, text in enumerate(blocks) if text.startswith("slack-mcp why "))
    told = commands.run(*blocks[asked].split()[1:])
    assert told.exit_code == 0
    assert blocks[asked + 1] == told.stdout.rstrip("\n")
