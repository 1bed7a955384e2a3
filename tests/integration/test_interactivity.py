"""Commands, clicks and forms, from Slack's request to what people see."""

import json
from typing import Any

import anyio
import pytest
from interactivity_pods import ANN, BOB, BOT, CHANNEL, COMMAND, TEAM, World, make_connection, open_world

from slack_mcp.core.errors import ConflictError, InvalidInputError, SlackRefusedError, SlackUnavailableError
from slack_mcp.core.ids import ChannelId, Ts, UserId
from slack_mcp.core.secret import Secret
from slack_mcp.ports.questions import Question, QuestionState
from slack_mcp.simulator.deliveries import FormAnswer
from slack_mcp.simulator.faults import Fault
from slack_mcp.simulator.interactivity import click_form, command_form

pytestmark = pytest.mark.anyio

YES, NO, IN_WORDS = "slack_mcp_answer_0", "slack_mcp_answer_1", "slack_mcp_answer_form"


async def command(world: World, text: str, *, user: str = ANN, channel: str = CHANNEL) -> FormAnswer:
    return await world.simulator.gestures.command(TEAM, user, channel, COMMAND, text)


async def click(world: World, question: Question, action: str = YES, *, user: str = ANN) -> FormAnswer:
    message = world.message(question)
    return await world.simulator.gestures.click(TEAM, user, message.channel_id, message.ts, action)


async def send(world: World, fields: dict[str, str]) -> FormAnswer:
    """Send a form of one's own, signed by Slack."""
    return await world.simulator.deliverer.send_form(world.workspace, "interactive", fields)


def actions(world: World, question: Question) -> list[str]:
    blocks = world.message(question).blocks or []
    return [each["action_id"] for block in blocks if block["type"] == "actions" for each in block["elements"]]


# Commands


async def test_a_question_is_answered_in_a_thread_that_names_who_asked() -> None:
    async with open_world() as world:
        answer = await command(world, "ask how are you?")
        assert (answer.status, answer.body) == (200, b"")
        await world.until(lambda: len(world.workspace.find_channel(CHANNEL).messages) == 2)
        rows = await world.settled()
        root, reply = world.workspace.find_channel(CHANNEL).messages.values()
    assert root.text == f"<@{ANN}> asks: how are you?"
    assert reply.thread_ts == root.ts
    assert "how are you?" in reply.text
    assert rows[:2] == [("slash_command", "done", "command_ask"), ("app_mention", "done", "answered")]


async def test_a_command_that_slack_sends_twice_is_answered_once() -> None:
    async with open_world() as world:
        form = command_form(world.workspace, ANN, CHANNEL, COMMAND, "ask once?")
        for _ in range(3):
            answer = await world.simulator.deliverer.send_form(world.workspace, "commands", form.fields)
            assert answer.status == 200
        rows = await world.settled()
        texts = [each.text for each in world.workspace.find_channel(CHANNEL).messages.values()]
    # The signature holds the second in which it was made: more than one second is more than one command.
    assert len([text for text in texts if "asks: once?" in text]) == len(
        [row for row in rows if row[0] == "app_mention"]
    )


async def test_what_is_asked_calls_nobody() -> None:
    async with open_world() as world:
        await command(world, "ask &lt;!channel&gt; and <!here>")
        await world.settled()
        root = next(iter(world.workspace.find_channel(CHANNEL).messages.values()))
    assert root.text == f"<@{ANN}> asks: &lt;!channel&gt; and &lt;!here&gt;"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("help", f"`{COMMAND} ask <question>`"),
        ("", f"`{COMMAND} reset`"),
        ("dance", f"`{COMMAND} status`"),
        ("ask", f"`{COMMAND} ask <question>`"),
        ("reset", "There is nothing to forget"),
        ("STATUS", "Connection: Support, conn_1\nWorkspace: Acme, T1\nAgent: echo\nVersion: slack-mcp "),
    ],
)
async def test_the_person_alone_is_told(text: str, said: str) -> None:
    async with open_world() as world:
        await command(world, text)
        await world.settled()
        (note,) = world.notes()
        assert world.workspace.find_channel(CHANNEL).messages == {}
    assert said in note
    assert "canary" not in note


async def test_the_person_is_told_in_the_connections_language() -> None:
    async with open_world(language="pt-BR") as world:
        await command(world, "help")
        await world.settled()
        (note,) = world.notes()
    assert "respondo aqui" in note


async def test_a_reset_forgets_the_conversation() -> None:
    async with open_world() as world:
        await command(world, "ask one?")
        await world.settled()
        await command(world, "reset")
        await world.settled()
        assert world.notes() == ["Forgotten. What was said here before, I do not remember any more."]


async def test_a_channel_that_is_not_allowed_is_answered_to_the_person_alone() -> None:
    async with open_world(allowed_channels=(ChannelId("C9"),)) as world:
        await command(world, "ask how?")
        await world.settled()
        assert world.notes() == ["I do not answer in this channel."]
        assert world.workspace.find_channel(CHANNEL).messages == {}


async def test_where_the_bot_may_not_write_the_person_is_told_so() -> None:
    async with open_world() as world:
        world.workspace.find_channel(CHANNEL).members.discard(BOT)
        await command(world, "ask how?")
        rows = await world.settled()
        (note,) = world.notes()
    assert note.startswith("Slack does not let me write here")
    assert rows == [("slash_command", "done", "cannot_write")]


async def test_when_the_response_url_is_used_up_the_person_is_told_by_an_ephemeral_message() -> None:
    async with open_world() as world:
        form = command_form(world.workspace, ANN, CHANNEL, COMMAND, "help")
        assert form.response_url is not None
        form.response_url.uses_left = 0
        await world.simulator.deliverer.send_form(world.workspace, "commands", form.fields)
        await world.settled()
        assert len(world.notes()) == 1
        assert form.response_url.posts == []


async def test_an_address_that_is_not_slacks_is_never_called() -> None:
    async with open_world() as world:
        form = command_form(world.workspace, ANN, CHANNEL, COMMAND, "help")
        fields = {**form.fields, "response_url": "http://127.0.0.1:9/steal"}
        await world.simulator.deliverer.send_form(world.workspace, "commands", fields)
        await world.settled()
        assert len(world.notes()) == 1


async def test_a_command_of_another_workspace_is_skipped() -> None:
    async with open_world() as world:
        form = command_form(world.workspace, ANN, CHANNEL, COMMAND, "status")
        fields = {**form.fields, "team_id": "T2"}
        assert (await world.simulator.deliverer.send_form(world.workspace, "commands", fields)).status == 200
        assert await world.settled() == [("slash_command", "skipped", "other_workspace")]
        assert world.notes() == []


# Questions


async def test_a_click_answers_and_the_message_shows_who_and_what() -> None:
    async with open_world() as world:
        (pod,) = world.pods
        question = await pod.ask()
        assert actions(world, question) == [YES, NO]
        answer = await click(world, question, NO)
        assert (answer.status, answer.body) == (200, b"")
        assert await world.settled() == [("interaction", "done", "answer_taken")]
        found = await pod.fetch(question)
        assert found.state is QuestionState.ANSWERED
        assert [(each.user_id, each.answer) for each in found.answers] == [(ANN, "No")]
        assert actions(world, question) == []
        assert f"<@{ANN}>: No" in str(world.message(question).blocks)


async def test_an_answer_in_words_is_typed_into_a_form() -> None:
    async with open_world() as world:
        (pod,) = world.pods
        question = await pod.ask(options=())
        await click(world, question, IN_WORDS)
        (view,) = world.workspace.views.modals.values()
        mistake = await world.simulator.gestures.submit(TEAM, view.view_id, {"text": " \n"})
        assert json.loads(mistake.body)["response_action"] == "errors"
        assert view.view_id in world.workspace.views.modals
        sent = await world.simulator.gestures.submit(TEAM, view.view_id, {"text": "because <!here>"})
        assert (sent.status, sent.body) == (200, b"")
        assert world.workspace.views.modals == {}
        assert [row[2] for row in await world.settled()] == ["form_opened", "answer_taken"]
        found = await pod.fetch(question)
        assert [each.answer for each in found.answers] == ["because <!here>"]


async def test_a_form_that_cannot_be_opened_is_told_to_the_person() -> None:
    async with open_world() as world:
        question = await world.pods[0].ask(has_form=True)
        form = click_form(world.workspace, ANN, CHANNEL, str(question.message_ts), IN_WORDS)
        expired = {**form.payload, "trigger_id": "1.2.used"}
        assert (await send(world, {"payload": json.dumps(expired)})).status == 200
        await world.settled()
        assert world.notes() == ["The form could not be opened. Please click again."]
        assert (await world.pods[0].fetch(question)).state is QuestionState.OPEN


async def test_who_is_not_asked_is_told_so_and_answers_nothing() -> None:
    async with open_world() as world:
        question = await world.pods[0].ask(answerers=(UserId(BOB),), has_form=True)
        for action in (YES, IN_WORDS):
            await click(world, question, action)
            await world.settled()
        assert world.notes() == ["This question is for somebody else: your answer was not taken."] * 2
        assert world.workspace.views.modals == {}
        assert (await world.pods[0].fetch(question)).answers == ()
        await click(world, question, user=BOB)
        await world.settled()
        assert (await world.pods[0].fetch(question)).state is QuestionState.ANSWERED


async def test_a_person_may_answer_anew_until_enough_have_answered() -> None:
    async with open_world() as world:
        (pod,) = world.pods
        question = await pod.ask(quorum=2)
        await click(world, question, YES)
        await world.settled()
        assert "1 of 2 answers" in str(world.message(question).blocks)
        await click(world, question, NO)
        await world.settled()
        await click(world, question, YES, user=BOB)
        await world.settled()
        found = await pod.fetch(question)
        assert found.state is QuestionState.ANSWERED
        assert [(each.user_id, each.answer) for each in found.answers] == [(ANN, "No"), (BOB, "Yes")]


async def test_a_click_on_a_closed_question_is_told_and_changes_nothing() -> None:
    async with open_world() as world:
        question = await world.pods[0].ask()
        late = click_form(world.workspace, BOB, CHANNEL, str(question.message_ts), YES)
        await click(world, question, NO)
        await world.settled()
        await send(world, dict(late.fields))
        await world.settled()
        assert world.notes(BOB) == ["This question is closed: your answer was not taken."]
        assert [each.user_id for each in (await world.pods[0].fetch(question)).answers] == [ANN]


async def test_a_click_after_the_end_expires_the_question_and_its_message() -> None:
    async with open_world() as world:
        question = await world.pods[0].ask(timeout_s=60.0)
        world.clock.ahead_s = 61
        await click(world, question)
        await world.settled()
        assert len(world.notes()) == 1
        assert actions(world, question) == []
        assert "The time to answer is over" in str(world.message(question).blocks)


async def test_the_sweep_expires_what_nobody_looks_at() -> None:
    async with open_world() as world:
        (pod,) = world.pods
        question = await pod.ask(timeout_s=60.0)
        async with anyio.create_task_group() as tasks:
            world.clock.ahead_s = 61
            tasks.start_soon(pod.interactivity.sweeper.run)
            await world.until(lambda: actions(world, question) == [])
            tasks.cancel_scope.cancel()
        assert (await pod.fetch(question)).state is QuestionState.EXPIRED


async def test_a_message_that_somebody_deleted_keeps_no_answer_from_being_fetched() -> None:
    async with open_world() as world:
        question = await world.pods[0].ask()
        form = click_form(world.workspace, ANN, CHANNEL, str(question.message_ts), YES)
        world.workspace.delete(world.message(question))
        await send(world, dict(form.fields))
        await world.settled()
        assert (await world.pods[0].fetch(question)).state is QuestionState.ANSWERED


async def test_what_the_click_says_beside_who_clicked_is_not_believed() -> None:
    async with open_world() as world:
        question = await world.pods[0].ask()
        payload = click_form(world.workspace, ANN, CHANNEL, str(question.message_ts), YES).payload

        def forge(**changes: Any) -> dict[str, str]:
            return {"payload": json.dumps(payload | changes)}

        action = payload["actions"][0]
        for forged in (
            forge(team={"id": "T2"}),
            forge(channel={"id": "C2"}, container={"channel_id": "C2", "message_ts": "1.0001"}),
            forge(actions=[action | {"action_id": "slack_mcp_answer_7"}]),
            forge(actions=[action | {"value": "Qnone"}]),
            forge(actions=[action | {"action_id": "another_apps"}]),
            forge(actions=[]),
            forge(type="telepathy"),
            forge(type="view_submission", view={"callback_id": "slack_mcp_answer", "private_metadata": "Qnone"}),
        ):
            assert (await send(world, forged)).status == 200
        rows = await world.settled()
        assert (await world.pods[0].fetch(question)).answers == ()
    assert [row[1:] for row in rows] == [
        ("skipped", "other_workspace"),
        ("skipped", "other_message"),
        ("done", "question_closed"),
        ("skipped", "unknown_question"),
        ("skipped", "unknown_interaction"),
        ("skipped", "unknown_interaction"),
        ("skipped", "unknown_interaction"),
    ]


@pytest.mark.parametrize("action", [YES, IN_WORDS])
async def test_a_button_of_another_message_answers_no_question(action: str) -> None:
    async with open_world() as world:
        (pod,) = world.pods
        question = await pod.ask(has_form=True)
        button: dict[str, Any] = {"type": "button", "action_id": action, "value": question.question_id}
        button["text"] = {"type": "plain_text", "text": "The menu"}
        blocks = [{"type": "actions", "elements": [button]}]
        answer = await pod.slack.open(make_connection()).write(
            "chat.postMessage", channel=CHANNEL, text="Lunch", blocks=blocks
        )
        await world.simulator.gestures.click(TEAM, ANN, CHANNEL, answer["ts"], action)
        in_no_message = click_form(world.workspace, ANN, CHANNEL, answer["ts"], action).payload
        for name in ("channel", "container", "message"):
            in_no_message.pop(name, None)
        assert (await send(world, {"payload": json.dumps(in_no_message)})).status == 200
        assert [row[2] for row in await world.settled()] == ["other_message", "other_message"]
        assert (await pod.fetch(question)).answers == ()


async def test_a_question_of_another_connection_can_neither_be_read_nor_answered() -> None:
    async with open_world() as world:
        (pod,) = world.pods
        question = await pod.ask()
        other = make_connection(connection_id="conn_2", signing_secret=Secret("second"))
        await pod.store.save_connection(other)
        with pytest.raises(InvalidInputError):
            await pod.interactivity.questions.fetch(other, question.question_id, wait_s=0)
        form = click_form(world.workspace, ANN, CHANNEL, str(question.message_ts), YES)
        world.workspace.connection_id, world.workspace.signing_secret = "conn_2", "second"
        assert (await send(world, dict(form.fields))).status == 200
        assert [row[2] for row in await world.settled()] == ["unknown_question"]
        assert (await pod.fetch(question)).answers == ()


async def test_the_same_request_id_asks_once() -> None:
    async with open_world() as world:
        (pod,) = world.pods
        first = await pod.ask(request_id="r1")
        assert await pod.ask(request_id="r1") == first
        other_caller = await pod.ask(request_id="r1", asked_by="key:2")
        assert other_caller.question_id != first.question_id
        with pytest.raises(ConflictError):
            await pod.ask("Something else?", request_id="r1")
        assert len(world.workspace.find_channel(CHANNEL).messages) == 2


async def test_of_requests_with_one_id_at_once_one_is_posted() -> None:
    async with open_world() as world:
        (pod,) = world.pods
        found: list[Question] = []

        async def ask() -> None:
            found.append(await pod.ask(request_id="r1"))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(ask)
        assert len({(each.question_id, each.message_ts) for each in found}) == 1
        assert len(world.workspace.find_channel(CHANNEL).messages) == 1


async def test_a_request_whose_answer_was_lost_is_found_again_by_its_mark() -> None:
    async with open_world() as world:
        (pod,) = world.pods
        world.simulator.faults.add(Fault(method="chat.postMessage", status=503, is_late=True))
        with pytest.raises(SlackUnavailableError):
            await pod.ask(request_id="r1")
        world.clock.ahead_s = 16
        question = await pod.ask(request_id="r1")
        assert len(world.workspace.find_channel(CHANNEL).messages) == 1
        assert world.message(question).text.startswith("Ship it?")


async def test_a_post_that_nobody_can_ask_for_again_is_withdrawn_where_it_may_stand() -> None:
    async with open_world() as world:
        world.simulator.faults.add(Fault(method="chat.postMessage", status=503, is_late=True))
        with pytest.raises(SlackUnavailableError):
            await world.pods[0].ask()
        (message,) = world.workspace.find_channel(CHANNEL).messages.values()
        await world.simulator.gestures.click(TEAM, ANN, CHANNEL, message.ts, YES)
        await world.settled()
        assert world.notes() == ["This question is closed: your answer was not taken."]
        assert "Withdrawn." in str(message.blocks)


async def test_a_click_tells_where_a_question_stands_that_was_posted_by_a_pod_that_died() -> None:
    async with open_world() as world:
        (pod,) = world.pods
        world.simulator.faults.add(Fault(method="chat.postMessage", status=503, is_late=True))
        with pytest.raises(SlackUnavailableError):
            await pod.ask(request_id="r1")
        (message,) = world.workspace.find_channel(CHANNEL).messages.values()
        await world.simulator.gestures.click(TEAM, ANN, CHANNEL, message.ts, NO)
        await world.settled()
        found = await pod.ask(request_id="r1")
        assert (found.message_ts, found.state) == (message.ts, QuestionState.ANSWERED)
        assert f"<@{ANN}>: No" in str(message.blocks)


async def test_what_slack_refuses_to_post_leaves_nothing_behind() -> None:
    async with open_world() as world:
        (pod,) = world.pods
        for _ in range(2):  # the second would find the first, had it stayed
            with pytest.raises(SlackRefusedError):
                await pod.ask(channel_id=ChannelId("C404"), request_id="r1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout_s": 0.0},
        {"timeout_s": 604_801.0},
        {"quorum": 0},
        {"quorum": 2, "answerers": (UserId(ANN),)},
        {"quorum": 2, "channel_id": ChannelId("D1")},
        {"options": ("a", "a ")},
        {"answerers": tuple(UserId(f"U{number}") for number in range(51))},
    ],
)
async def test_what_cannot_be_asked_is_refused_before_anything_is_posted(wrong: dict[str, Any]) -> None:
    async with open_world() as world:
        with pytest.raises(InvalidInputError):
            await world.pods[0].ask(**wrong)
        assert world.workspace.find_channel(CHANNEL).messages == {}


async def test_a_question_is_asked_in_a_thread_and_in_a_direct_message() -> None:
    async with open_world() as world:
        (pod,) = world.pods
        root = world.workspace.say(ANN, CHANNEL, "release?").message
        threaded = await pod.ask(thread_ts=Ts(root.ts))
        assert world.message(threaded).thread_ts == root.ts
        direct = await pod.ask(channel_id=ChannelId(world.workspace.open_im(ANN).channel_id))
        await click(world, direct)
        await world.settled()
        assert (await pod.fetch(direct)).state is QuestionState.ANSWERED


# The doors


@pytest.mark.parametrize("door", ["commands", "interactive"])
async def test_what_is_not_signed_by_the_app_does_not_get_in(door: Any) -> None:
    async with open_world() as world:
        world.workspace.signing_secret = "another"
        answer = await world.simulator.deliverer.send_form(world.workspace, door, {"payload": "{"})
        assert answer.status == 401
        assert await world.settled() == []


@pytest.mark.parametrize("fields", [{}, {"payload": "{"}, {"payload": "[1]"}, {"x": "y"}, {"payload": '{"type": "x"}'}])
async def test_a_signed_form_that_is_none_of_slacks_is_a_bad_request(fields: dict[str, str]) -> None:
    async with open_world() as world:
        assert (await send(world, fields)).status == 400
        assert await world.settled() == []


async def test_a_huge_form_is_not_read() -> None:
    async with open_world() as world:
        assert (await send(world, {"payload": "x" * 70_000})).status == 413


async def test_suggestions_for_somebody_elses_menu_are_none_and_leave_no_trace() -> None:
    async with open_world() as world:
        payload = {"type": "block_suggestion", "user": {"id": ANN}, "team": {"id": TEAM}, "action_id": "x"}
        answer = await send(world, {"payload": json.dumps(payload)})
        assert json.loads(answer.body) == {"options": []}
        assert await world.settled() == []


async def test_without_an_id_in_the_address_the_form_says_whose_it_is() -> None:
    async with open_world() as world:
        world.workspace.connection_id = None
        await command(world, "status")
        question = await world.pods[0].ask()
        await click(world, question)
        assert [row[1] for row in await world.settled()] == ["done", "done"]
        assert (await world.pods[0].fetch(question)).state is QuestionState.ANSWERED


async def test_a_form_to_nobody_is_not_found() -> None:
    async with open_world() as world:
        world.workspace.connection_id = "conn_9"
        assert (await send(world, {"payload": "{}"})).status == 404
