"""The bot's own sentences in each of its languages.

They are Slack mrkdwn already; whoever fills a placeholder escapes the value first.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

ENGLISH: Final = "en"


class Sentence(StrEnum):
    """What the bot may have to say by itself.

    Attributes:
        THINKING: stands in the thread until the answer is there.
        AGENT_NOT_CONFIGURED: nobody can answer; names the `{connection_id}` and what to configure.
        NO_ANSWER: given up; `{reference}` is the event's id, by which the operator finds it.
        UNSUPPORTED_MESSAGE: a message without text.
        ANSWER_CUT: ends an answer that was longer than anybody reads.
        COMMAND_HELP: what the slash command `{command}` can do.
        COMMAND_STATUS: who the bot is, and who answers.
        COMMAND_RESET, COMMAND_NOTHING_TO_RESET: the conversation was forgotten, or there was none.
        COMMAND_QUESTION: the root of the thread in which the question of `{person}` is answered.
        COMMAND_NO_QUESTION: `ask` stood alone.
        COMMAND_CHANNEL_NOT_ALLOWED: the bot is to be silent here.
        COMMAND_CANNOT_WRITE: Slack lets the bot write nothing here.
        COMMAND_FAILED: nothing came of it; `{reference}` as for NO_ANSWER.
        QUESTION_IN_WORDS, FORM_TITLE, FORM_LABEL, FORM_SEND, FORM_CANCEL: plain text, 24 characters at most but for
            the label.
        FORM_EMPTY, FORM_FAILED: the answer has no words; the form could not be opened.
        QUESTION_FOR: who may answer.
        QUESTION_MORE: answers that are not shown.
        QUESTION_PROGRESS: how many of the answers are there.
        QUESTION_DONE, QUESTION_EXPIRED, QUESTION_CANCELLED: how it ended.
        QUESTION_CLOSED, QUESTION_NOT_FOR_YOU: to somebody who may not answer, or not any more.
    """

    THINKING = "thinking"
    AGENT_NOT_CONFIGURED = "agent_not_configured"
    NO_ANSWER = "no_answer"
    UNSUPPORTED_MESSAGE = "unsupported_message"
    ANSWER_CUT = "answer_cut"
    COMMAND_HELP = "command_help"
    COMMAND_STATUS = "command_status"
    COMMAND_RESET = "command_reset"
    COMMAND_NOTHING_TO_RESET = "command_nothing_to_reset"
    COMMAND_QUESTION = "command_question"
    COMMAND_NO_QUESTION = "command_no_question"
    COMMAND_CHANNEL_NOT_ALLOWED = "command_channel_not_allowed"
    COMMAND_CANNOT_WRITE = "command_cannot_write"
    COMMAND_FAILED = "command_failed"
    QUESTION_IN_WORDS = "question_in_words"
    FORM_TITLE = "form_title"
    FORM_LABEL = "form_label"
    FORM_SEND = "form_send"
    FORM_CANCEL = "form_cancel"
    FORM_EMPTY = "form_empty"
    FORM_FAILED = "form_failed"
    QUESTION_FOR = "question_for"
    QUESTION_MORE = "question_more"
    QUESTION_PROGRESS = "question_progress"
    QUESTION_DONE = "question_done"
    QUESTION_EXPIRED = "question_expired"
    QUESTION_CANCELLED = "question_cancelled"
    QUESTION_CLOSED = "question_closed"
    QUESTION_NOT_FOR_YOU = "question_not_for_you"


CATALOGUE: Final[Mapping[str, Mapping[Sentence, str]]] = MappingProxyType(
    {
        ENGLISH: MappingProxyType(
            {
                Sentence.THINKING: "_Thinking…_",
                Sentence.AGENT_NOT_CONFIGURED: (
                    "I cannot answer yet: the connection `{connection_id}` has no agent that is ready. Whoever looks "
                    "after it can choose an agent and a model in the connection's configuration, or set "
                    "`DEFAULT_AGENT` for the whole service."
                ),
                Sentence.NO_ANSWER: (
                    "Sorry, I could not get an answer to this. Please ask again later. Should it happen again, this "
                    "reference helps whoever looks after me: `{reference}`"
                ),
                Sentence.UNSUPPORTED_MESSAGE: "I can only read text so far. Please write to me what it is about.",
                Sentence.ANSWER_CUT: "(The answer was too long and ends here.)",
                Sentence.COMMAND_HELP: (
                    "• `{command} ask <question>`: I answer it here, in a thread that everybody sees\n"
                    "• `{command} status`: who I am, and who answers\n"
                    "• `{command} reset`: I forget what was said in this conversation\n"
                    "• `{command} help`: this list"
                ),
                Sentence.COMMAND_STATUS: (
                    "Connection: {connection}\nWorkspace: {workspace}\nAgent: {agent}\nVersion: slack-mcp {version}"
                ),
                Sentence.COMMAND_RESET: "Forgotten. What was said here before, I do not remember any more.",
                Sentence.COMMAND_NOTHING_TO_RESET: "There is nothing to forget: I have answered nothing here yet.",
                Sentence.COMMAND_QUESTION: "{person} asks: {question}",
                Sentence.COMMAND_NO_QUESTION: "Write the question behind it: `{command} ask <question>`.",
                Sentence.COMMAND_CHANNEL_NOT_ALLOWED: "I do not answer in this channel.",
                Sentence.COMMAND_CANNOT_WRITE: (
                    "Slack does not let me write here: invite me to the channel first, or ask me in a direct message."
                ),
                Sentence.COMMAND_FAILED: (
                    "Sorry, that did not work. Please try again later. Should it happen again, this reference helps "
                    "whoever looks after me: `{reference}`"
                ),
                Sentence.QUESTION_IN_WORDS: "In my own words",
                Sentence.FORM_TITLE: "Your answer",
                Sentence.FORM_LABEL: "Answer",
                Sentence.FORM_SEND: "Send",
                Sentence.FORM_CANCEL: "Cancel",
                Sentence.FORM_EMPTY: "Please write something.",
                Sentence.FORM_FAILED: "The form could not be opened. Please click again.",
                Sentence.QUESTION_FOR: "For {people}",
                Sentence.QUESTION_MORE: "and {number} more",
                Sentence.QUESTION_PROGRESS: "{given} of {quorum} answers",
                Sentence.QUESTION_DONE: "Answered.",
                Sentence.QUESTION_EXPIRED: "The time to answer is over ({time}).",
                Sentence.QUESTION_CANCELLED: "Withdrawn.",
                Sentence.QUESTION_CLOSED: "This question is closed: your answer was not taken.",
                Sentence.QUESTION_NOT_FOR_YOU: "This question is for somebody else: your answer was not taken.",
            }
        ),
        "pt-BR": MappingProxyType(
            {
                Sentence.THINKING: "_Pensando…_",
                Sentence.AGENT_NOT_CONFIGURED: (
                    "Ainda não posso responder: a conexão `{connection_id}` não tem nenhum agente pronto. Quem cuida "
                    "dela pode escolher um agente e um modelo na configuração da conexão, ou definir "
                    "`DEFAULT_AGENT` para o serviço inteiro."
                ),
                Sentence.NO_ANSWER: (
                    "Desculpe, não consegui obter uma resposta. Por favor, pergunte de novo mais tarde. Se acontecer "
                    "outra vez, esta referência ajuda quem cuida de mim: `{reference}`"
                ),
                Sentence.UNSUPPORTED_MESSAGE: "Por enquanto só consigo ler texto. Por favor, escreva do que se trata.",
                Sentence.ANSWER_CUT: "(A resposta era longa demais e termina aqui.)",
                Sentence.COMMAND_HELP: (
                    "• `{command} ask <pergunta>`: respondo aqui, em uma conversa que todos veem\n"
                    "• `{command} status`: quem sou eu, e quem responde\n"
                    "• `{command} reset`: esqueço o que foi dito nesta conversa\n"
                    "• `{command} help`: esta lista"
                ),
                Sentence.COMMAND_STATUS: (
                    "Conexão: {connection}\nWorkspace: {workspace}\nAgente: {agent}\nVersão: slack-mcp {version}"
                ),
                Sentence.COMMAND_RESET: "Esquecido. Não me lembro mais do que foi dito aqui antes.",
                Sentence.COMMAND_NOTHING_TO_RESET: "Não há nada para esquecer: ainda não respondi nada aqui.",
                Sentence.COMMAND_QUESTION: "{person} pergunta: {question}",
                Sentence.COMMAND_NO_QUESTION: "Escreva a pergunta depois: `{command} ask <pergunta>`.",
                Sentence.COMMAND_CHANNEL_NOT_ALLOWED: "Eu não respondo neste canal.",
                Sentence.COMMAND_CANNOT_WRITE: (
                    "O Slack não me deixa escrever aqui: convide-me para o canal, ou pergunte em uma mensagem direta."
                ),
                Sentence.COMMAND_FAILED: (
                    "Desculpe, não deu certo. Por favor, tente de novo mais tarde. Se acontecer outra vez, esta "
                    "referência ajuda quem cuida de mim: `{reference}`"
                ),
                Sentence.QUESTION_IN_WORDS: "Com minhas palavras",
                Sentence.FORM_TITLE: "Sua resposta",
                Sentence.FORM_LABEL: "Resposta",
                Sentence.FORM_SEND: "Enviar",
                Sentence.FORM_CANCEL: "Cancelar",
                Sentence.FORM_EMPTY: "Por favor, escreva alguma coisa.",
                Sentence.FORM_FAILED: "Não foi possível abrir o formulário. Por favor, clique de novo.",
                Sentence.QUESTION_FOR: "Para {people}",
                Sentence.QUESTION_MORE: "e mais {number}",
                Sentence.QUESTION_PROGRESS: "{given} de {quorum} respostas",
                Sentence.QUESTION_DONE: "Respondida.",
                Sentence.QUESTION_EXPIRED: "O tempo para responder acabou ({time}).",
                Sentence.QUESTION_CANCELLED: "Retirada.",
                Sentence.QUESTION_CLOSED: "Esta pergunta está encerrada: sua resposta não foi registrada.",
                Sentence.QUESTION_NOT_FOR_YOU: "Esta pergunta é para outra pessoa: sua resposta não foi registrada.",
            }
        ),
    }
)


def render_sentence(language: str, sentence: Sentence, **values: str) -> str:
    """Return the sentence in the language, in English when the catalogue does not have that language.

    Args:
        language: `en` or `pt-BR`, as a connection's settings name it.
        sentence: which one.
        values: for the sentence's placeholders, escaped for Slack.

    Raises:
        KeyError: a placeholder has no value.
    """
    return CATALOGUE.get(language, CATALOGUE[ENGLISH])[sentence].format(**values)
