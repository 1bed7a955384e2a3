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
    """

    THINKING = "thinking"
    AGENT_NOT_CONFIGURED = "agent_not_configured"
    NO_ANSWER = "no_answer"
    UNSUPPORTED_MESSAGE = "unsupported_message"
    ANSWER_CUT = "answer_cut"


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
