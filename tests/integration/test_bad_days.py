"""Whatever goes wrong around a pod: one answer or one apology, a line in the log, and nothing secret in any line.

`run_pod` looks through the log of every test here. Each test ends with a question that is answered: the lane goes on.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from pod_in_process import (
    CHANNEL,
    CONNECTION_ID,
    NEW_SIGNING_SECRET,
    NOT_STREAMED,
    PERSON,
    SAID,
    SIGNING_SECRET,
    TEAM,
    PodInProcess,
    run_pod,
)

from slack_mcp.bot.draft import MAX_ANSWER_CHARS
from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.model import AgentBackend
from slack_mcp.core.secret import Secret
from slack_mcp.simulator import Fault
from slack_mcp.simulator.calls import Call

pytestmark = pytest.mark.anyio
THINKING = render_sentence("en", Sentence.THINKING)
ANSWER = f"Answer to: {SAID}"
ATTEMPTS = 3


def is_apology(text: str, language: str = "en") -> bool:
    before, _, after = render_sentence(language, Sentence.NO_ANSWER, reference="|").partition("|")
    return text.startswith(before) and text.endswith(after)


def hold(pod: PodInProcess, method: str, *, hang_s: float) -> anyio.Event:
    """Let the method's next call wait before it is done, and return what is set when it has arrived."""
    arrived = anyio.Event()

    def note(_call: Call) -> bool:
        arrived.set()
        return True

    pod.simulator.faults.add(Fault(method=method, hang_s=hang_s, when=note))
    return arrived


# Slack


@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update"])
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        pytest.param({"status": 429, "retry_after_s": 0}, "slack_rate_limited", id="429"),
        pytest.param({"error": "ratelimited", "retry_after_s": 0}, "slack_rate_limited", id="ratelimited"),
        pytest.param({"status": 500}, "slack_unavailable", id="500"),
        pytest.param({"status": 503, "is_late": True}, "slack_unavailable", id="503 after it was done"),
        pytest.param({"error": "internal_error", "times": 2}, "slack_unavailable", id="internal_error, twice"),
        pytest.param({"error": "fatal_error", "is_late": True}, "slack_unavailable", id="fatal_error, but done"),
        pytest.param({"status": 404}, "slack_unavailable", id="a proxy's 404"),
    ],
)
async def test_slack_that_fails_for_a_while_delays_the_one_answer(
    tmp_path: Path, fault: dict[str, Any], code: str, method: str
) -> None:
    async with run_pod(tmp_path) as pod:
        met = pod.simulator.faults.add(Fault(method=method, **fault))
        root = pod.ask()
        await pod.close_thread(root)
    assert pod.list_answers(root) == [[THINKING, ANSWER]]
    assert len(pod.log.select("event.failed", code=code, state="waiting")) == met.hits == fault.get("times", 1)
    assert len(pod.log.select("turn.finished", outcome="answered")) == 2
    assert len(pod.model.requests) == 2  # the question and the closing one: the answer was kept


@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update"])
async def test_a_rate_limit_is_waited_out_as_slack_asks_and_is_no_attempt(tmp_path: Path, method: str) -> None:
    async with run_pod(tmp_path, SLACK_MCP_RETRY_MAX_ATTEMPTS="1") as pod:
        pod.simulator.faults.add(Fault(method=method, status=429, retry_after_s=1))
        root = pod.ask()
        await pod.close_thread(root)
    assert pod.list_answers(root) == [[THINKING, ANSWER]]
    limited, again = pod.simulator.calls.select(method)[:2]
    assert (limited.status, again.status) == (429, 200)
    assert again.at_s - limited.at_s >= 1
    (line,) = pod.log.select("event.failed")
    assert (line["state"], line["attempts"]) == ("waiting", 0)


async def test_a_call_without_an_answer_ends_at_its_deadline_and_what_it_did_is_found(tmp_path: Path) -> None:
    async with run_pod(tmp_path) as pod:
        pod.simulator.faults.add(Fault(method="chat.postMessage", is_late=True))
        root = pod.ask()
        await pod.close_thread(root)
    assert pod.list_answers(root) == [[THINKING, ANSWER]]
    (line,) = pod.log.select("event.failed")
    assert (line["code"], line["state"]) == ("slack_unavailable", "waiting")
    assert "did not answer chat.postMessage in time" in line["error"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("invalid_auth", "slack_token_revoked"),
        ("token_revoked", "slack_token_revoked"),
        ("account_inactive", "slack_token_revoked"),
        ("missing_scope", "slack_missing_scope"),
        ("channel_not_found", "slack_refused"),
        ("not_in_channel", "slack_refused"),
        ("is_archived", "slack_refused"),
    ],
)
@pytest.mark.parametrize(
    ("method", "shown"), [("chat.postMessage", []), ("chat.update", [[THINKING]])], ids=["post", "update"]
)
async def test_what_slack_refuses_for_good_is_given_up_at_once_and_nothing_more_is_tried(
    tmp_path: Path, error: str, code: str, *, method: str, shown: list[list[str]]
) -> None:
    async with run_pod(tmp_path) as pod:
        pod.simulator.faults.add(Fault(method=method, error=error, times=None))
        root = pod.ask()
        await pod.wait_for_line("event.failed", state="dead", code=code)
        pod.simulator.faults.clear()
        await pod.close_thread(root)
    assert pod.list_answers(root) == shown
    assert [call.error for call in pod.simulator.calls.select(method)] == [error, None]
    assert len(pod.log.select("event.failed")) == len(pod.log.select("turn.given_up", error_code=code)) == 1
    assert ("dead", code) in pod.list_events()


async def test_a_token_that_is_revoked_is_found_out_once_and_a_new_one_is_used_at_once(tmp_path: Path) -> None:
    async with run_pod(tmp_path) as pod:
        pod.workspace.is_revoked = True
        root = pod.ask()
        await pod.wait_for_line("event.failed", state="dead", code="slack_token_revoked")
        pod.workspace.is_revoked = False
        pod.simulator.rotate_token(TEAM, "xoxb-canary-token-new")
        await pod.change_connection(bot_token=Secret("xoxb-canary-token-new"))
        await pod.close_thread(root)
    assert pod.list_answers(root) == []
    assert pod.simulator.calls.counts["chat.postMessage"] == 2


async def test_a_placeholder_that_somebody_deletes_is_replaced_by_the_answer(tmp_path: Path) -> None:
    async with run_pod(tmp_path) as pod:

        def delete_first(call: Call) -> bool:
            message = pod.workspace.channels[CHANNEL].messages.get(call.args["ts"])
            if message is not None and message.text == THINKING and not pod.workspace.channels[CHANNEL].deleted:
                pod.workspace.delete(message)
            return False

        pod.simulator.faults.add(Fault(method="chat.update", error="never", when=delete_first))
        root = pod.ask()
        await pod.close_thread(root)
    assert len(pod.workspace.channels[CHANNEL].deleted) == 1
    assert pod.list_answers(root) == [[ANSWER]]
    assert pod.log.select("event.failed") == []


async def test_an_answer_that_comes_too_late_for_an_edit_is_posted_once(tmp_path: Path) -> None:
    def is_answer(call: Call) -> bool:
        return str(call.args["text"]) == ANSWER

    async with run_pod(tmp_path) as pod:
        pod.simulator.faults.add(Fault(method="chat.update", error="edit_window_closed", times=2))
        # It is posted in place of the edit, but nobody learns its ts.
        pod.simulator.faults.add(Fault(method="chat.postMessage", status=500, is_late=True, when=is_answer))
        root = pod.ask()
        await pod.close_thread(root)
    assert pod.list_answers(root) == [[THINKING], [ANSWER]]
    assert len(pod.log.select("event.failed", code="slack_unavailable", state="waiting")) == 1


# The agent


def get_turn_timeout(code: str) -> str:
    """Return a short one only where it has to pass: on a busy machine an answer takes its time."""
    return "1" if code == "agent_timeout" else "30"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("hangs", "agent_timeout"),
        ("deaf", "agent_timeout"),
        ("garbage", "agent_stream_broken"),
        ("no-chunk", "agent_stream_broken"),
        ("no-choices", "agent_stream_broken"),
        ("no-utf8", "agent_stream_broken"),
        ("error", "agent_stream_broken"),
        ("dies", "agent_stream_broken"),
        ("ends", "agent_stream_broken"),
        ("429-now", "agent_rate_limited"),
        ("500", "agent_unavailable"),
        ("503", "agent_unavailable"),
    ],
)
async def test_an_agent_that_fails_once_is_asked_again(tmp_path: Path, script: str, code: str) -> None:
    async with run_pod(tmp_path, SLACK_MCP_TURN_TIMEOUT_S=get_turn_timeout(code)) as pod:
        pod.model.scripts.append(script)
        root = pod.ask()
        await pod.close_thread(root)
    assert pod.list_answers(root) == [[THINKING, ANSWER]]
    line, *others = pod.log.select("event.failed")
    assert (line["code"], line["state"], line["attempts"]) == (code, "waiting", int(code != "agent_rate_limited"))
    assert {other["code"] for other in others} <= {"agent_timeout"} & {code}
    assert len(pod.model.requests) == 3 + len(others)


@pytest.mark.parametrize(
    ("script", "code", "language"),
    [
        ("hangs", "agent_timeout", "en"),
        ("garbage", "agent_stream_broken", "en"),
        ("dies", "agent_stream_broken", "en"),
        ("500", "agent_unavailable", "en"),
        ("500", "agent_unavailable", "pt-BR"),
        ("401", "agent_refused", "en"),
        ("404", "agent_refused", "pt-BR"),
        ("429-quota", "agent_refused", "en"),
        ("filtered", "agent_refused", "en"),
    ],
)
async def test_an_agent_that_goes_on_failing_is_apologized_for_once(
    tmp_path: Path, script: str, code: str, language: str
) -> None:
    asked = 1 if code == "agent_refused" else ATTEMPTS
    connection_settings = replace(NOT_STREAMED, language=language)
    async with run_pod(tmp_path, settings=connection_settings, SLACK_MCP_TURN_TIMEOUT_S=get_turn_timeout(code)) as pod:
        root = pod.ask(f"[[{script}]] {SAID}")
        await pod.wait_for_line("event.failed", state="dead")
        await pod.close_thread(root)
    ((thinking, apology),) = pod.list_answers(root)
    assert thinking == render_sentence(language, Sentence.THINKING)
    assert is_apology(apology, language)
    assert len(pod.model.requests) == asked + 1
    assert [line["code"] for line in pod.log.select("event.failed")] == [code] * asked
    assert len(pod.log.select("turn.given_up", error_code=code)) == 1


async def test_an_apology_that_slack_did_not_take_at_once_is_no_second_message(tmp_path: Path) -> None:
    async with run_pod(tmp_path) as pod:
        pod.simulator.faults.add(Fault(method="chat.update", status=500, is_late=True))
        root = pod.ask(f"[[401]] {SAID}")
        await pod.wait_for_line("event.failed", state="dead")
        await pod.close_thread(root)
    ((thinking, apology),) = pod.list_answers(root)
    assert thinking == THINKING
    assert is_apology(apology)
    assert len(pod.log.select("event.not_told", code="slack_unavailable")) == 1


async def test_a_long_answer_comes_in_parts_in_order_and_none_twice(tmp_path: Path) -> None:
    question = " ".join(f"{SAID}-{number}" for number in range(600))
    assert len(question) > 9000
    async with run_pod(tmp_path) as pod:
        fault = Fault(
            method="chat.postMessage", status=502, is_late=True, when=lambda call: "-250 " in call.args["text"]
        )
        pod.simulator.faults.add(fault)
        root = pod.ask(question)
        await pod.close_thread(root)
    assert fault.hits == 1
    (thinking, first), *others = pod.list_answers(root)
    assert thinking == THINKING
    texts = [first, *(text for (text,) in others)]
    assert len(texts) > 2
    assert " ".join(texts) == f"Answer to: {question}"


async def test_an_answer_that_nobody_would_read_to_its_end_is_cut_off_and_says_so(tmp_path: Path) -> None:
    async with run_pod(tmp_path) as pod:
        root = pod.ask(f"[[huge]] {SAID}")
        await pod.close_thread(root)
    (_, first), *others = pod.list_answers(root)
    text = "".join([first, *(text for (text,) in others)])
    assert text.strip("x").strip() == render_sentence("en", Sentence.ANSWER_CUT)
    assert text.count("x") == MAX_ANSWER_CHARS
    assert pod.log.select("event.failed") == []


async def test_what_a_model_writes_pings_nobody(tmp_path: Path) -> None:
    async with run_pod(tmp_path) as pod:
        root = pod.ask(f"{SAID} &lt;!channel&gt; &lt;@UANN&gt; &amp; R&amp;D")
        await pod.close_thread(root)
    assert pod.model.requests[0][2]["messages"][-1]["content"] == f"{SAID} <!channel> <@UANN> & R&D"
    assert pod.list_answers(root) == [[THINKING, f"{ANSWER} &lt;\u2060!channel&gt; &lt;\u2060@UANN&gt; &amp; R&amp;D"]]


@pytest.mark.parametrize("language", ["en", "pt-BR"])
async def test_without_an_agent_it_is_said_once_in_a_thread(tmp_path: Path, language: str) -> None:
    notice = render_sentence(language, Sentence.AGENT_NOT_CONFIGURED, connection_id=CONNECTION_ID)
    connection_settings = replace(NOT_STREAMED, language=language)
    async with run_pod(tmp_path, settings=connection_settings, DEFAULT_AGENT="") as pod:
        roots = [pod.ask() for _ in range(2)]
        for root in roots * 2:
            pod.ask(thread_ts=root.ts)
        await pod.wait_for_outcome("skipped", "agent_not_configured", count=4)
        await pod.wait_for_outcome("skipped", "same_message", count=6)  # each mention's twin
        await pod.change_connection(settings=replace(NOT_STREAMED, language=language, agent=AgentBackend.OPENAI))
        await pod.close_thread(roots[0])
    for root in roots:
        assert pod.list_answers(root) == [[notice]]
    assert len(pod.log.select("turn.finished", outcome="agent_not_configured")) == 6
    assert len(pod.model.requests) == 1


# The connection


async def test_a_connection_that_is_removed_under_way_falls_silent(tmp_path: Path) -> None:
    async with run_pod(tmp_path, SLACK_MCP_LEASE_S="1", SLACK_MCP_LEASE_RENEW_S="0.3") as pod:
        arrived = hold(pod, "chat.postMessage", hang_s=0.1)
        root = pod.ask()
        await arrived.wait()
        await pod.wait_for_deliveries()
        assert await pod.admin.connections.remove_connection(CONNECTION_ID)
        await pod.wait_for_line("lane.lost")  # its turn is gone with it, and so nothing can be stored any more
        await pod.wait_for_outcome("skipped", "connection_removed")
        late = await pod.simulator.deliver(TEAM, pod.workspace.say(PERSON, CHANNEL, SAID, root.ts).envelopes[0])
    assert [attempt.status for attempt in late.attempts] == [404]
    assert pod.list_answers(root) == [[THINKING]]
    assert pod.log.select("event.failed") == pod.log.select("turn.finished") == []
    assert pod.model.requests == []
    assert set(pod.list_events("app_mention")) == {("skipped", "connection_removed")}


@pytest.mark.parametrize("reason", ["connection_removed", "connection_disabled"])
async def test_what_would_be_tried_again_is_not_when_the_connection_is_gone(tmp_path: Path, reason: str) -> None:
    async with run_pod(tmp_path, SLACK_MCP_TURN_TIMEOUT_S="0.3") as pod:
        pod.model.scripts.append("hangs")
        root = pod.ask()
        await pod.wait_for_deliveries()
        await pod.wait_for_model()
        if reason == "connection_removed":
            assert await pod.admin.connections.remove_connection(CONNECTION_ID)
        else:
            await pod.change_connection(disabled=True)
        await pod.wait_for_line("event.failed", code="agent_timeout", state="waiting")
        await pod.wait_for_outcome("skipped", reason)
    assert pod.list_answers(root) == [[THINKING]]
    assert len(pod.model.requests) == 1
    assert pod.simulator.calls.counts["chat.update"] == 0


async def test_a_connection_that_is_disabled_under_way_finishes_what_it_has_begun_and_nothing_more(
    tmp_path: Path,
) -> None:
    async with run_pod(tmp_path) as pod:
        arrived = hold(pod, "chat.postMessage", hang_s=0.1)
        root = pod.ask()
        await arrived.wait()
        await pod.change_connection(disabled=True)
        await pod.wait_for_line("turn.finished")
        pod.ask(thread_ts=root.ts)
        await pod.wait_for_deliveries()
        await pod.wait_for_outcome("skipped", "connection_disabled")
        await pod.change_connection(disabled=False)
        await pod.close_thread(root)
    assert all(each.is_accepted for each in pod.simulator.deliverer.deliveries if each.event_id in pod.sent)
    assert pod.list_answers(root)[0] == [THINKING, ANSWER]
    assert pod.list_events("app_mention")[1] == ("skipped", "connection_disabled")


@pytest.mark.parametrize("is_old", [False, True])
async def test_a_signing_secret_that_is_rotated_under_way_loses_no_event(tmp_path: Path, *, is_old: bool) -> None:
    async with run_pod(tmp_path) as pod:
        arrived = hold(pod, "chat.postMessage", hang_s=0.1)
        root = pod.ask()
        await arrived.wait()
        await pod.change_connection(signing_secret=Secret(NEW_SIGNING_SECRET))
        if not is_old:  # Slack signs with the new one at once; else it goes on with the old one for a while
            pod.workspace.signing_secret = NEW_SIGNING_SECRET
        await pod.close_thread(root)
    assert pod.list_answers(root) == [[THINKING, ANSWER]]
    assert pod.log.select("delivery.refused") == []
    assert all(len(each.attempts) == 1 for each in pod.simulator.deliverer.deliveries if each.is_over)


async def test_a_signing_secret_without_an_overlap_refuses_the_old_one(tmp_path: Path) -> None:
    async with run_pod(tmp_path, SLACK_MCP_SIGNING_SECRET_OVERLAP_S="0") as pod:
        await pod.change_connection(signing_secret=Secret(NEW_SIGNING_SECRET))
        pod.workspace.signing_secret = NEW_SIGNING_SECRET
        root = pod.ask()
        await pod.close_thread(root)
        await pod.wait_for_own_messages(4)
        pod.workspace.signing_secret = SIGNING_SECRET
        forged = pod.workspace.say(PERSON, CHANNEL, f"<@UBOT> {SAID}", root.ts)
        delivery = await pod.simulator.deliver(TEAM, forged.envelopes[0])
    assert [attempt.status for attempt in delivery.attempts] == [401] * 4  # it may have been saved until Slack is back
    assert pod.list_answers(root) == [[THINKING, ANSWER]]
    refusals = {(line["code"], line["status"]) for line in pod.log.select("delivery.refused")}
    assert refusals == {("signature_mismatch", 401)}


# Events that come more than once, or from the bot itself


async def test_an_event_that_is_delivered_many_times_at_once_is_answered_once(tmp_path: Path) -> None:
    async with run_pod(tmp_path) as pod:
        posted = pod.workspace.say(PERSON, CHANNEL, f"<@UBOT> {SAID}")
        statuses: list[int | None] = []

        async def deliver(envelope: dict[str, Any]) -> None:
            delivery = await pod.simulator.deliver(TEAM, envelope)
            statuses.extend(attempt.status for attempt in delivery.attempts)

        async with anyio.create_task_group() as tasks:
            for envelope in posted.envelopes * 10:
                tasks.start_soon(deliver, envelope)
        await pod.close_thread(posted.message)
    assert statuses == [200] * 20
    assert pod.list_answers(posted.message) == [[THINKING, ANSWER]]
    assert len(pod.list_events("app_mention")) == 2  # this one and the closing one
    assert len(pod.log.select("turn.finished", outcome="answered")) == len(pod.model.requests) == 2


@pytest.mark.parametrize("order", [list, lambda envelopes: envelopes[::-1]], ids=["mention first", "message first"])
async def test_mention_and_message_of_one_ts_are_one_turn(
    tmp_path: Path, order: Callable[[list[Any]], list[Any]]
) -> None:
    async with run_pod(tmp_path) as pod:
        posted = pod.workspace.say(PERSON, CHANNEL, f"<@UBOT> {SAID}")
        for envelope in order(posted.envelopes):
            await pod.simulator.deliver(TEAM, envelope)
        await pod.close_thread(posted.message)
    assert pod.list_answers(posted.message) == [[THINKING, ANSWER]]
    assert ("skipped", "same_message") in pod.list_events()
    assert len(pod.model.requests) == 2


async def test_the_bots_own_messages_come_back_as_events_and_are_not_answered(tmp_path: Path) -> None:
    async with run_pod(tmp_path) as pod:
        root = pod.ask()
        await pod.wait_for_own_messages(2)  # the placeholder, and its change to the answer
        await pod.close_thread(root)
    assert pod.list_answers(root) == [[THINKING, ANSWER]]
    outcomes = pod.list_events("message")[:4]
    assert sorted(str(reason) for state, reason in outcomes if state == "skipped")[:1] == ["own_message"]
    assert ("skipped", "own_message") in outcomes
    assert len(pod.model.requests) == 2


# The pod itself


async def test_a_pod_that_ends_finishes_what_it_has_begun(tmp_path: Path) -> None:
    async with run_pod(tmp_path) as pod:
        arrived = hold(pod, "chat.update", hang_s=0.2)
        root = pod.ask()
        await arrived.wait()
    assert pod.list_answers(root) == [[THINKING, ANSWER]]
    assert ("done", "answered") in pod.list_events()


@pytest.mark.parametrize("word", [SAID, SIGNING_SECRET])
async def test_the_look_through_the_log_would_find_a_word_that_got_into_it(tmp_path: Path, word: str) -> None:
    with pytest.raises(AssertionError, match=word):
        async with run_pod(tmp_path):
            logging.getLogger("a.library").debug("it says %s", word)
