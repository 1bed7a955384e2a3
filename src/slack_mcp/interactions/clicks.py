"""What people click and send: answers to questions.

Who clicked is Slack's word, which is signed; what the click may do is decided by the stored question alone.
"""

from typing import Final

import anyio
import structlog

from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.errors import SlackMcpError
from slack_mcp.core.model import Connection, EventState, JournalledEvent, Outcome
from slack_mcp.interactions.cards import (
    ANSWER_PREFIX,
    FORM_ACTION,
    FORM_CALLBACK,
    INPUT_BLOCK,
    MAX_ANSWER_CHARS,
    read_option,
    render_form,
)
from slack_mcp.interactions.desk import QuestionDesk
from slack_mcp.ports.interactions import InstantAnswer, PersonalReplies
from slack_mcp.ports.questions import Question, QuestionState, QuestionStore
from slack_mcp.ports.slack import SlackWebs
from slack_mcp.ports.surfaces import Languages
from slack_mcp.protocol.interactions import (
    BLOCK_ACTIONS,
    VIEW_SUBMISSION,
    Interaction,
)
from slack_mcp.protocol.mrkdwn import clean

# Slack closes its ear 3 s after the click, and the event has yet to be journalled.
LOOK_TIMEOUT_S: Final = 0.7

_log = structlog.get_logger(__name__)


class ClickHandler:
    """Answers clicks on questions and their forms: at once what has to be in the response, the rest from the journal.

    See `interactions.route.InteractionHandler`.

    Args:
        desk: knows the questions.
        store: keeps the answers.
        replies: tells the person why an answer was not taken.
        languages: in which language.
        forms: the Web API for opening a form, whose calls end within about 1.5 s.
    """

    def __init__(
        self,
        *,
        desk: QuestionDesk,
        store: QuestionStore,
        replies: PersonalReplies,
        languages: Languages,
        forms: SlackWebs,
    ) -> None:
        self._desk = desk
        self._store = store
        self._replies = replies
        self._languages = languages
        self._forms = forms

    def takes(self, interaction: Interaction) -> bool:
        """Tell whether it is an answer to a question."""
        return _is_form(interaction) or _is_click(interaction)

    async def answer_now(self, connection: Connection, interaction: Interaction) -> InstantAnswer:
        """Return what the response says; a form is opened here, because its trigger is good for 3 s only."""
        if _is_form(interaction):
            return _check_form(connection, interaction)
        if interaction.action_id == FORM_ACTION and await self._open_form(connection, interaction):
            return InstantAnswer(skip_reason="form_opened")
        return InstantAnswer()

    async def handle(self, connection: Connection, event: JournalledEvent, form: Interaction) -> Outcome:
        """Take the answer, or say why not, and return how it ended.

        Raises:
            SlackMcpError: the answer, or what is to be said, may be taken later.
        """
        question = await self._find(connection, form)
        if question is None:
            await self._tell(connection, event, form, Sentence.QUESTION_CLOSED)
            return _skip("unknown_question")
        if not _is_in_its_place(question, form):
            return _skip("other_message")
        refusal = await self._take(connection, question, form)
        if refusal is None:
            return Outcome(state=EventState.DONE, reason="answer_taken")
        await self._tell(connection, event, form, refusal, question=question)
        return Outcome(state=EventState.DONE, reason=str(refusal))

    async def give_up(self, connection: Connection, event: JournalledEvent, form: Interaction) -> None:
        """Say that the answer was not taken."""
        await self._tell(connection, event, form, Sentence.COMMAND_FAILED, reference=event.event_id)

    async def _take(self, connection: Connection, question: Question, form: Interaction) -> Sentence | None:
        """Record the answer; returns the sentence for whoever it was not taken from."""
        if not _may_answer(question, form):
            return Sentence.QUESTION_NOT_FOR_YOU
        if form.action_id == FORM_ACTION and not _is_form(form):  # the form did not open, or this would not be here
            return Sentence.FORM_FAILED if question.state is QuestionState.OPEN else Sentence.QUESTION_CLOSED
        answer = _read_answer(question, form)
        if answer is None:
            return Sentence.QUESTION_CLOSED
        recorded = await self._store.add_answer(question.connection_id, question.question_id, form.user_id, answer)
        if recorded is None or not recorded.is_taken:
            if recorded is not None:  # whoever clicked saw a message that does not show it
                await self._desk.show(connection, recorded.question)
            return Sentence.QUESTION_CLOSED
        _log.info(
            "question.answered",
            connection_id=question.connection_id,
            question_id=question.question_id,
            state=recorded.question.state.value,
        )
        await self._desk.show(connection, recorded.question)
        return None

    async def _find(self, connection: Connection, form: Interaction) -> Question | None:
        question_id = form.private_metadata if _is_form(form) else form.value
        if not question_id:
            return None
        question = await self._desk.load(connection, question_id)
        if question is None or question.message_ts is not None or form.message_ts is None:
            return question
        if _is_in_its_place(question, form):
            # It was posted by a process that ended before it could note where.
            await self._store.save_posted(question.connection_id, question.question_id, form.message_ts)
            return await self._desk.load(connection, question_id)
        return question

    async def _open_form(self, connection: Connection, interaction: Interaction) -> bool:
        """Tell whether the form is open now; the handler says why not."""
        if interaction.trigger_id is None or interaction.value is None or connection.disabled:
            return False
        try:
            question: Question | None = None
            with anyio.move_on_after(LOOK_TIMEOUT_S):
                question = await self._store.load_question(connection.connection_id, interaction.value)
            if question is None or not question.has_form or question.state is not QuestionState.OPEN:
                return False
            if not (_is_in_its_place(question, interaction) and _may_answer(question, interaction)):
                return False
            view = render_form(question, connection.settings.language)
            await self._forms.open(connection).write("views.open", trigger_id=interaction.trigger_id, view=view)
        except SlackMcpError as error:
            _log.warning("form.not_opened", connection_id=connection.connection_id, code=error.code, error=str(error))
            return False
        return True

    async def _tell(
        self,
        connection: Connection,
        event: JournalledEvent,
        form: Interaction,
        sentence: Sentence,
        *,
        question: Question | None = None,
        **values: str,
    ) -> None:
        language = await self._languages.find_language(connection, form.user_id)
        await self._replies.tell(
            connection,
            event,
            render_sentence(language, sentence, **values),
            user_id=form.user_id,
            channel_id=form.channel_id or (None if question is None else question.channel_id),
            response_url=form.response_url,
        )


def _is_click(interaction: Interaction) -> bool:
    return interaction.kind == BLOCK_ACTIONS and (interaction.action_id or "").startswith(ANSWER_PREFIX)


def _is_form(interaction: Interaction) -> bool:
    return interaction.kind == VIEW_SUBMISSION and interaction.callback_id == FORM_CALLBACK


def _check_form(connection: Connection, interaction: Interaction) -> InstantAnswer:
    """Return the mistake that the form shows, or the word that closes it."""
    if clean(interaction.inputs.get(INPUT_BLOCK, "")).strip():
        return InstantAnswer()
    mistake = render_sentence(connection.settings.language, Sentence.FORM_EMPTY)
    return InstantAnswer(body={"response_action": "errors", "errors": {INPUT_BLOCK: mistake}}, is_journalled=False)


def _is_in_its_place(question: Question, form: Interaction) -> bool:
    """Tell whether the click was made in the question's own message; a form is opened from nowhere else.

    A button with the question's id can be put into any message of the bot's, under any label.
    """
    if _is_form(form):
        return True
    return form.channel_id == question.channel_id and question.message_ts in (None, form.message_ts)


def _may_answer(question: Question, form: Interaction) -> bool:
    return not question.answerers or form.user_id in question.answerers


def _read_answer(question: Question, form: Interaction) -> str | None:
    """Return what was answered; None when the stored question has no such answer."""
    if not _is_form(form):
        return read_option(question, form.action_id or "")
    typed = clean(form.inputs.get(INPUT_BLOCK, "")).strip()[:MAX_ANSWER_CHARS]
    return typed if typed and question.has_form else None


def _skip(reason: str) -> Outcome:
    return Outcome(state=EventState.SKIPPED, reason=reason)
