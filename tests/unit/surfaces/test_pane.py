import json
from typing import Any

import pytest
from bot_fakes import make_claim, make_connection
from surface_fakes import Surfaces, make_journalled

from slack_mcp.core.errors import (
    AgentUnavailableError,
    MissingScopeError,
    SlackRefusedError,
    SlackUnavailableError,
    StoreUnavailableError,
)
from slack_mcp.core.ids import ChannelId, UserId
from slack_mcp.core.model import ChannelOverride, Connection, ConnectionSettings, Outcome, Speaking, SuggestedPrompt
from slack_mcp.surfaces.prompts import read_prompts

pytestmark = pytest.mark.anyio

DIRECT, ROOT, ANN = "D1", "1700000400.000100", "UANN"
PROMPTS = tuple(SuggestedPrompt(title=f"title {number}", message=f"message {number}") for number in range(5))
OF_CHANNEL = {ChannelId("C2"): ChannelOverride(suggested_prompts=PROMPTS[:1])}


def make_thread_event(kind: str = "assistant_thread_started", *, viewed: str | None = "C2") -> dict[str, Any]:
    context = {} if viewed is None else {"channel_id": viewed}
    thread = {"user_id": ANN, "channel_id": DIRECT, "thread_ts": ROOT, "context": context}
    return {"type": kind, "assistant_thread": thread}


def make_opening(tab: str = "messages", **changes: Any) -> dict[str, Any]:
    return {"type": "app_home_opened", "user": ANN, "channel": DIRECT, "tab": tab} | changes


async def work(
    surfaces: Surfaces,
    event: dict[str, Any],
    *,
    redone: bool = False,
    connection: Connection | None = None,
    **settings: Any,
) -> Outcome:
    connection = connection or make_connection(settings=ConnectionSettings(**settings))
    body = {"type": "event_callback", "team_id": "T1", "event_id": "EvSURFACE", "event": event}
    now_s = surfaces.clock.now_s()
    journalled = make_journalled(
        connection, json.dumps(body).encode(), event_type=event["type"], redone=redone, received_at_s=now_s
    )
    return await surfaces.handler.handle(connection, journalled, make_claim())


def list_titles(surfaces: Surfaces) -> list[list[str]]:
    calls = surfaces.web.list_calls("assistant.threads.setSuggestedPrompts")
    return [[each["title"] for each in call["prompts"]] for call in calls]


async def test_a_conversation_begins_with_a_greeting_and_prompts_in_its_thread() -> None:
    surfaces = Surfaces()
    assert (await work(surfaces, make_thread_event())).reason == "assistant_started"
    (greeting,) = surfaces.web.list_calls("chat.postMessage")
    (prompts,) = surfaces.web.list_calls("assistant.threads.setSuggestedPrompts")
    assert (greeting["channel"], greeting["thread_ts"]) == (DIRECT, ROOT)
    assert greeting["text"] == "Hello! What can I do for you?"
    assert prompts["thread_ts"] == ROOT
    assert len(prompts["prompts"]) == 3
    assert surfaces.memory.viewed == {("conn_1", DIRECT, ROOT): "C2"}


async def test_the_persons_own_language_is_spoken_and_the_connections_own_greeting_said() -> None:
    surfaces = Surfaces()
    surfaces.languages.by_user[ANN] = "pt-BR"
    await work(surfaces, make_thread_event())
    await work(surfaces, make_opening(channel="D2"), greeting="Ahoy!")
    assert [each["text"] for each in surfaces.web.list_calls("chat.postMessage")] == [
        "Olá! Em que posso ajudar?",
        "Ahoy!",
    ]


@pytest.mark.parametrize(
    ("settings", "viewed", "titles"),
    [
        ({"channels": OF_CHANNEL, "suggested_prompts": PROMPTS[1:]}, "C2", ["title 0"]),
        ({"channels": OF_CHANNEL, "suggested_prompts": PROMPTS[1:]}, "C3", [f"title {n}" for n in (1, 2, 3, 4)]),
        ({"suggested_prompts": PROMPTS}, None, [f"title {n}" for n in (0, 1, 2, 3)]),
    ],
)
async def test_prompts_are_those_of_the_channel_looked_at_or_of_the_connection(
    settings: dict[str, Any], viewed: str | None, titles: list[str]
) -> None:
    surfaces = Surfaces()
    await work(surfaces, make_thread_event(viewed=viewed), ask_agent_for_prompts=True, **settings)
    assert list_titles(surfaces) == [titles]
    assert surfaces.agents.asked == []


async def test_an_agent_is_asked_for_prompts_once_for_a_while_and_anew_after_a_change() -> None:
    surfaces = Surfaces()
    surfaces.agents.said = "Here you are:\n1. Weekly report | Write my report.\n- *Holidays* | When is the next one?\n"
    settings = ConnectionSettings(ask_agent_for_prompts=True)
    for version in (1, 1, 2):
        connection = make_connection(settings=settings, version=version, system_prompt="You know our office.")
        await work(surfaces, make_thread_event(), connection=connection)
    assert list_titles(surfaces) == [["Weekly report", "Holidays"]] * 3
    assert surfaces.agents.asked == [
        ("prompts-1-en", "You know our office."),
        ("prompts-2-en", "You know our office."),
    ]


@pytest.mark.parametrize("failure", ["error", "nonsense", "unconfigured"])
async def test_an_agent_that_suggests_nothing_leaves_the_bots_own_prompts(failure: str) -> None:
    surfaces = Surfaces()
    surfaces.agents.said = AgentUnavailableError("gone") if failure == "error" else "I would rather not."
    surfaces.agents.is_configured = failure != "unconfigured"
    await work(surfaces, make_thread_event(), ask_agent_for_prompts=True)
    assert list_titles(surfaces) == [["What can you do?", "Draft a message", "Explain something"]]


def test_only_whole_and_short_lines_of_an_agent_are_prompts() -> None:
    said = "\n".join(["no bar", " | no title", "no message |", f"{'x' * 76} | too long", "**Good** | `Yes?`"])
    assert read_prompts(said) == [SuggestedPrompt(title="Good", message="Yes?")]
    assert len(read_prompts("\n".join(["a | b"] * 9))) == 4


async def test_a_greeting_of_an_earlier_run_is_found_by_its_mark_and_not_said_again() -> None:
    surfaces = Surfaces()
    surfaces.memory.errors.append(StoreUnavailableError("gone"))
    with pytest.raises(StoreUnavailableError):
        await work(surfaces, make_thread_event())
    (said,) = surfaces.web.list_calls("chat.postMessage")
    surfaces.web.answers["conversations.replies"] = {
        "messages": [{"ts": "1700000400.000300", "user": "UBOT", "metadata": said["metadata"]}]
    }
    assert (await work(surfaces, make_thread_event(), redone=True)).reason == "assistant_started"
    assert len(surfaces.web.list_calls("chat.postMessage")) == 1
    assert surfaces.memory.greeted == {("conn_1", DIRECT, ROOT)}


async def test_a_greeting_that_never_came_is_said_by_the_next_run() -> None:
    surfaces = Surfaces()
    surfaces.web.errors["chat.postMessage"] = [SlackUnavailableError("chat.postMessage", "timeout")]
    with pytest.raises(SlackUnavailableError):
        await work(surfaces, make_thread_event())
    await work(surfaces, make_thread_event(), redone=True)
    assert len(surfaces.web.list_calls("chat.postMessage")) == 2
    assert surfaces.memory.greeted


async def test_who_looks_at_something_else_is_offered_what_fits_it() -> None:
    surfaces = Surfaces()
    changed = make_thread_event("assistant_thread_context_changed")
    assert (await work(surfaces, changed)).reason == "context_noted"
    assert list_titles(surfaces) == []  # nothing depends on the channel
    await work(surfaces, changed, channels=OF_CHANNEL)
    assert list_titles(surfaces) == [["title 0"]]
    await work(surfaces, make_thread_event("assistant_thread_context_changed", viewed=None))
    assert surfaces.memory.viewed == {("conn_1", DIRECT, ROOT): None}
    assert surfaces.web.list_calls("chat.postMessage") == []


async def test_the_newer_pane_greets_once_and_names_no_thread() -> None:
    surfaces = Surfaces()
    assert (await work(surfaces, make_opening())).reason == "assistant_greeted"
    assert (await work(surfaces, make_opening())).reason == "greeted_before"
    (greeting,) = surfaces.web.list_calls("chat.postMessage")
    (prompts,) = surfaces.web.list_calls("assistant.threads.setSuggestedPrompts")
    assert "thread_ts" not in greeting | prompts
    assert (greeting["channel"], prompts["channel_id"]) == (DIRECT, DIRECT)


async def test_who_was_greeted_in_the_older_pane_is_not_greeted_beside_it() -> None:
    surfaces = Surfaces()
    await work(surfaces, make_thread_event())
    assert (await work(surfaces, make_opening())).reason == "greeted_before"
    assert len(surfaces.web.list_calls("chat.postMessage")) == 1


async def test_beside_the_newer_pane_prompts_follow_the_channel_where_one_has_its_own() -> None:
    surfaces = Surfaces()
    entities = [{"type": "slack#/types/channel_id", "value": "C2"}]
    event = {"type": "app_context_changed", "user": ANN, "channel": DIRECT, "context": {"entities": entities}}
    assert (await work(surfaces, event)).reason == "no_prompts_of_channels"
    assert (await work(surfaces, event, channels=OF_CHANNEL)).reason == "prompts_offered"
    assert (await work(surfaces, event | {"channel": None}, channels=OF_CHANNEL)).state.value == "skipped"
    assert list_titles(surfaces) == [["title 0"]]


@pytest.mark.parametrize(
    "error",
    [
        SlackRefusedError("assistant.threads.setSuggestedPrompts", "channel_not_found"),
        MissingScopeError("assistant.threads.setSuggestedPrompts", "assistant:write"),
    ],
)
async def test_where_slack_takes_no_prompts_the_greeting_stands_all_the_same(error: Exception) -> None:
    surfaces = Surfaces()
    surfaces.web.errors["assistant.threads.setSuggestedPrompts"] = [error]  # type: ignore[list-item]
    assert (await work(surfaces, make_thread_event())).reason == "assistant_started"
    assert surfaces.memory.greeted


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"trigger_only": True}, "trigger_only"),
        ({"speaking": Speaking(denied_users=(UserId(ANN),))}, "user_not_allowed"),
    ],
)
async def test_who_is_not_answered_is_not_greeted(settings: dict[str, Any], reason: str) -> None:
    surfaces = Surfaces()
    for event in (make_thread_event(), make_opening()):
        outcome = await work(surfaces, event, **settings)
        assert (outcome.state.value, outcome.reason) == ("skipped", reason)
    assert surfaces.web.calls == []


async def test_what_happens_in_another_workspace_is_none_of_the_bots_business() -> None:
    surfaces = Surfaces()
    connection = make_connection(team_id="T2")
    stopped = {"type": "agent_session_stopped", "channel": DIRECT, "thread_ts": ROOT}
    for event in (make_thread_event(), make_opening("home"), stopped):
        assert (await work(surfaces, event, connection=connection)).reason == "other_workspace"
    assert (surfaces.web.calls, surfaces.stops.asked) == ([], [])


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"type": "assistant_thread_started"}, "no_thread"),
        ({"type": "assistant_thread_started", "assistant_thread": {"channel_id": DIRECT}}, "no_thread"),
        ({"type": "assistant_thread_context_changed", "assistant_thread": []}, "no_thread"),
        (make_opening(channel=None), "no_channel"),
        (make_opening(tab="about"), "unknown_tab"),
        ({"type": "agent_session_stopped", "channel": DIRECT}, "no_thread"),
    ],
)
async def test_an_event_that_says_too_little_is_skipped(event: dict[str, Any], reason: str) -> None:
    surfaces = Surfaces()
    outcome = await work(surfaces, event)
    assert (outcome.state.value, outcome.reason) == ("skipped", reason)
    assert surfaces.web.calls == []
