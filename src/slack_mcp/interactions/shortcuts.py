"""The shortcut "Ask about this message": a form for the question, and the answer in the message's thread.

The question is posted into the thread, so that everybody sees what is answered, and a mention of the bot is journalled
for it, with the message attached: text that somebody wrote reaches the agent as data, and not as part of the question.
"""

from collections.abc import Callable
from typing import Final

import structlog

from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.errors import MissingScopeError, SlackMcpError, SlackRefusedError
from slack_mcp.core.model import Connection, EventState, JournalledEvent, Outcome
from slack_mcp.interactions.about import (
    CALLBACK,
    FORM_CALLBACK,
    INPUT_BLOCK,
    MAX_QUESTION_CHARS,
    About,
    read_form,
    read_shortcut,
    render_form,
)
from slack_mcp.interactions.asking import REFUSALS, find_refusal_of_asker, make_mention, post_question
from slack_mcp.ports.interactions import InstantAnswer, PersonalReplies
from slack_mcp.ports.slack import SlackWebs
from slack_mcp.ports.store import Journal
from slack_mcp.ports.surfaces import Languages
from slack_mcp.protocol.authors import is_direct_channel
from slack_mcp.protocol.interactions import MESSAGE_ACTION, VIEW_SUBMISSION, Interaction
from slack_mcp.protocol.mrkdwn import clean, escape
from slack_mcp.protocol.speaking import find_refusal

METADATA_TYPE: Final = "slack_mcp_shortcut"

_log = structlog.get_logger(__name__)


class ShortcutHandler:
    """Works on the shortcut and its form; see `interactions.route.InteractionHandler`.

    Args:
        slack: makes the Web API of a connection.
        forms: the same for opening a form, whose calls end within about 1.5 s.
        journal: takes the mention that a question becomes.
        wake: called after it was journalled.
        replies: tells the person what keeps them from being answered.
        languages: in which language.
    """

    def __init__(
        self,
        *,
        slack: SlackWebs,
        forms: SlackWebs,
        journal: Journal,
        wake: Callable[[], None],
        replies: PersonalReplies,
        languages: Languages,
    ) -> None:
        self._slack = slack
        self._forms = forms
        self._journal = journal
        self._wake = wake
        self._replies = replies
        self._languages = languages

    def takes(self, interaction: Interaction) -> bool:
        """Tell whether it is the shortcut, or its form."""
        return _is_shortcut(interaction) or _is_form(interaction)

    async def answer_now(self, connection: Connection, interaction: Interaction) -> InstantAnswer:
        """Return what the response says; the form is opened here, because its trigger is good for 3 s only."""
        if _is_form(interaction):
            return _check_form(connection, interaction)
        if await self._open_form(connection, interaction):
            return InstantAnswer(skip_reason="form_opened")
        return InstantAnswer()

    async def handle(self, connection: Connection, event: JournalledEvent, form: Interaction) -> Outcome:
        """Put the question into the thread and have it answered, or tell why not; returns how it ended.

        Raises:
            SlackMcpError: it may be done later.
        """
        about = read_form(form) if _is_form(form) else read_shortcut(form)
        if about is None:
            return _skip("unknown_message")
        if _is_form(form):
            return await self._ask(connection, event, form, about)
        # The form did not open, or this would not be here.
        refusal = _find_plain_refusal(connection, form, about)
        sentence = Sentence.FORM_FAILED if refusal is None else refusal
        await self._tell(connection, event, form, about, sentence)
        return Outcome(state=EventState.DONE, reason=str(sentence))

    async def give_up(self, connection: Connection, event: JournalledEvent, form: Interaction) -> None:
        """Say that nothing came of it."""
        about = read_form(form) if _is_form(form) else read_shortcut(form)
        if about is not None:
            await self._tell(connection, event, form, about, Sentence.COMMAND_FAILED, reference=escape(event.event_id))

    async def _open_form(self, connection: Connection, interaction: Interaction) -> bool:
        """Tell whether the form is open now; the handler says why not."""
        about = read_shortcut(interaction)
        if about is None or interaction.trigger_id is None or connection.disabled:
            return False
        if _find_plain_refusal(connection, interaction, about) is not None:
            return False
        # Whatever time the person's own language would take is needed for the form.
        view = render_form(about, connection.settings.language)
        try:
            await self._forms.open(connection).write("views.open", trigger_id=interaction.trigger_id, view=view)
        except SlackMcpError as error:
            _log.warning("form.not_opened", connection_id=connection.connection_id, code=error.code, error=str(error))
            return False
        return True

    async def _ask(self, connection: Connection, event: JournalledEvent, form: Interaction, about: About) -> Outcome:
        question = _read_question(form)
        if not question:
            return _skip("no_question")
        try:
            refusal = await find_refusal_of_asker(self._slack, connection, about.channel_id, form.user_id)
        except MissingScopeError as error:
            scopes = escape(clean(error.needed))
            await self._tell(connection, event, form, about, Sentence.COMMAND_EXTERNAL_UNKNOWN, scopes=scopes)
            return Outcome(state=EventState.DONE, reason="external_not_allowed")
        if refusal is not None:
            await self._tell(connection, event, form, about, REFUSALS[refusal])
            return Outcome(state=EventState.DONE, reason=str(refusal))
        try:
            ts = await post_question(
                self._slack,
                connection,
                event,
                languages=self._languages,
                metadata_type=METADATA_TYPE,
                channel_id=about.channel_id,
                thread_ts=about.root,
                user_id=form.user_id,
                question=escape(question),
            )
        except (SlackRefusedError, MissingScopeError) as error:
            _log.info("shortcut.refused", connection_id=connection.connection_id, error=error.slack_error)
            await self._tell(connection, event, form, about, Sentence.COMMAND_CANNOT_WRITE)
            return Outcome(state=EventState.DONE, reason="cannot_write")
        mention = make_mention(
            connection,
            event,
            channel_id=about.channel_id,
            user_id=form.user_id,
            question=escape(question),
            ts=ts,
            thread_ts=about.root,
            team_id=form.team_id or form.enterprise_id,
            api_app_id=form.api_app_id,
            attachments=[about.render_attachment()],
        )
        (is_new,) = await self._journal.append([mention])
        if is_new:
            self._wake()
        return Outcome(state=EventState.DONE, reason="asked_about_message")

    async def _tell(
        self,
        connection: Connection,
        event: JournalledEvent,
        form: Interaction,
        about: About,
        sentence: Sentence,
        /,
        **values: str,
    ) -> None:
        language = await self._languages.find_language(connection, form.user_id)
        await self._replies.tell(
            connection,
            event,
            render_sentence(language, sentence, **values),
            user_id=form.user_id,
            channel_id=about.channel_id,
            response_url=about.response_url,
            thread_ts=about.thread_ts,
        )


def _is_shortcut(interaction: Interaction) -> bool:
    return interaction.kind == MESSAGE_ACTION and interaction.callback_id == CALLBACK


def _is_form(interaction: Interaction) -> bool:
    return interaction.kind == VIEW_SUBMISSION and interaction.callback_id == FORM_CALLBACK


def _check_form(connection: Connection, interaction: Interaction) -> InstantAnswer:
    """Return the mistake that the form shows, or the word that closes it."""
    if _read_question(interaction):
        return InstantAnswer()
    mistake = render_sentence(connection.settings.language, Sentence.FORM_EMPTY)
    return InstantAnswer(body={"response_action": "errors", "errors": {INPUT_BLOCK: mistake}}, is_journalled=False)


def _read_question(interaction: Interaction) -> str:
    return clean(interaction.inputs.get(INPUT_BLOCK, "")).strip()[:MAX_QUESTION_CHARS]


def _find_plain_refusal(connection: Connection, interaction: Interaction, about: About) -> Sentence | None:
    """Return why nothing will come of it, as far as that is known without asking Slack."""
    refusal = find_refusal(
        connection,
        channel_id=about.channel_id,
        user_id=interaction.user_id,
        is_private=is_direct_channel(about.channel_id),
        is_external=False,
    )
    return None if refusal is None else REFUSALS[refusal]


def _skip(reason: str) -> Outcome:
    return Outcome(state=EventState.SKIPPED, reason=reason)
