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
        WORKING: the same, while the agent uses a tool: `{task}`.
        STATUS_THINKING: stands behind the bot's name; plain text, 50 characters at most.
        AGENT_NOT_CONFIGURED: nobody can answer; names the `{connection_id}` and what to configure.
        NO_ANSWER: given up; `{reference}` is the event's id, by which the operator finds it.
        NOTHING_TO_READ: a message without text, and without a file that can be read.
        ANSWER_CUT: ends an answer that was longer than anybody reads; Markdown.
        ANSWER_STOPPED: ends an answer that somebody stopped; Markdown.
        FILES_ONLY: the agent made files and said nothing; Markdown.
        FILE_CUT, FILE_…: why the file `{name}`, which stands between backquotes, is not read, or not to its end.
        FILES_TOO_MANY: only the first `{count}` files of a message are read.
        FILE_NOT_SHOWN: the agent made a file that Slack does not take.
        RATE_LIMITED_USER, RATE_LIMITED_CHANNEL: the person, or all in the channel, asked too much; `{seconds}` until
            the next question is answered.
        COMMAND_HELP: what the slash command `{command}` can do.
        COMMAND_STATUS: who the bot is, and who answers.
        COMMAND_RESET, COMMAND_NOTHING_TO_RESET: the conversation was forgotten, or there was none.
        COMMAND_QUESTION: the root of the thread in which the question of `{person}` is answered.
        COMMAND_NO_QUESTION: `ask` stood alone.
        SHADOW: the root of the thread in which an operator has the message at `{link}` answered.
        COMMAND_CHANNEL_NOT_ALLOWED: the bot is to be silent here.
        COMMAND_USER_NOT_ALLOWED: the person is not to be answered.
        COMMAND_EXTERNAL_NOT_ALLOWED: another organization would hear the answer.
        COMMAND_EXTERNAL_UNKNOWN: nobody can say whether one would; `{scopes}` are what the app lacks to find out.
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
        APPROVAL_ASKED: the question whether the agent may use `{tool}`; plain text, as are its buttons APPROVE and
            REJECT.
        STOP: the button that stops an answer; plain text, as all that stands on a button.
        RATE_GOOD, RATE_BAD: the buttons that rate an answer; 75 characters at most.
        RATED: to somebody who has rated.
        GREETING: begins a conversation with the assistant.
        PROMPT_…_TITLE, PROMPT_…: what the assistant offers to be asked, and the question that it stands for; plain.
        HOME_HELLO: to the `{person}` who opens the home tab.
        HOME_HOW: how to ask.
        HOME_STATUS: what the bot is, and what it may do.
        HOME_ALL_CHANNELS, HOME_NO_AGENT, HOME_TRIGGERS, HOME_LANGUAGE: values of it.
        HOME_SETTINGS, HOME_SETTINGS_IN: who can change that, and `{where}`.
        SHORTCUT_TITLE, SHORTCUT_LABEL, SHORTCUT_SUGGESTION: of the form for a question about a message; plain text, the
            first 24 characters at most.
    """

    THINKING = "thinking"
    WORKING = "working"
    STATUS_THINKING = "status_thinking"
    AGENT_NOT_CONFIGURED = "agent_not_configured"
    NO_ANSWER = "no_answer"
    NOTHING_TO_READ = "nothing_to_read"
    ANSWER_CUT = "answer_cut"
    ANSWER_STOPPED = "answer_stopped"
    FILES_ONLY = "files_only"
    FILE_CUT = "file_cut"
    FILE_TOO_LARGE = "file_too_large"
    FILE_UNKNOWN_KIND = "file_unknown_kind"
    FILE_BROKEN = "file_broken"
    FILE_LOCKED = "file_locked"
    FILE_TOO_COSTLY = "file_too_costly"
    FILE_EMPTY = "file_empty"
    FILE_NOT_GIVEN = "file_not_given"
    FILE_NO_TRANSCRIBER = "file_no_transcriber"
    FILE_NOT_REACHABLE = "file_not_reachable"
    FILE_NOT_HEARD = "file_not_heard"
    FILE_TOO_MANY_IMAGES = "file_too_many_images"
    FILES_TOO_MANY = "files_too_many"
    FILE_NOT_SHOWN = "file_not_shown"
    RATE_LIMITED_USER = "rate_limited_user"
    RATE_LIMITED_CHANNEL = "rate_limited_channel"
    COMMAND_HELP = "command_help"
    COMMAND_STATUS = "command_status"
    COMMAND_RESET = "command_reset"
    COMMAND_NOTHING_TO_RESET = "command_nothing_to_reset"
    COMMAND_QUESTION = "command_question"
    COMMAND_NO_QUESTION = "command_no_question"
    SHADOW = "shadow"
    COMMAND_CHANNEL_NOT_ALLOWED = "command_channel_not_allowed"
    COMMAND_USER_NOT_ALLOWED = "command_user_not_allowed"
    COMMAND_EXTERNAL_NOT_ALLOWED = "command_external_not_allowed"
    COMMAND_EXTERNAL_UNKNOWN = "command_external_unknown"
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
    APPROVAL_ASKED = "approval_asked"
    APPROVE = "approve"
    REJECT = "reject"
    STOP = "stop"
    RATE_GOOD = "rate_good"
    RATE_BAD = "rate_bad"
    RATED = "rated"
    GREETING = "greeting"
    PROMPT_ABILITIES_TITLE = "prompt_abilities_title"
    PROMPT_ABILITIES = "prompt_abilities"
    PROMPT_DRAFT_TITLE = "prompt_draft_title"
    PROMPT_DRAFT = "prompt_draft"
    PROMPT_EXPLAIN_TITLE = "prompt_explain_title"
    PROMPT_EXPLAIN = "prompt_explain"
    HOME_HELLO = "home_hello"
    HOME_HOW = "home_how"
    HOME_STATUS = "home_status"
    HOME_ALL_CHANNELS = "home_all_channels"
    HOME_NO_AGENT = "home_no_agent"
    HOME_TRIGGERS = "home_triggers"
    HOME_LANGUAGE = "home_language"
    HOME_SETTINGS = "home_settings"
    HOME_SETTINGS_IN = "home_settings_in"
    SHORTCUT_TITLE = "shortcut_title"
    SHORTCUT_LABEL = "shortcut_label"
    SHORTCUT_SUGGESTION = "shortcut_suggestion"


CATALOGUE: Final[Mapping[str, Mapping[Sentence, str]]] = MappingProxyType(
    {
        ENGLISH: MappingProxyType(
            {
                Sentence.THINKING: "_Thinking…_",
                Sentence.WORKING: "_Working: {task}…_",
                Sentence.STATUS_THINKING: "is thinking…",
                Sentence.AGENT_NOT_CONFIGURED: (
                    "I cannot answer yet: the connection `{connection_id}` has no agent that is ready. Whoever looks "
                    "after it can choose an agent and a model in the connection's configuration, or set "
                    "`DEFAULT_AGENT` for the whole service."
                ),
                Sentence.NO_ANSWER: (
                    "Sorry, I could not get an answer to this. Please ask again later. Should it happen again, this "
                    "reference helps whoever looks after me: `{reference}`"
                ),
                Sentence.NOTHING_TO_READ: (
                    "There is nothing in this message that I can read. Please write what it is about."
                ),
                Sentence.ANSWER_CUT: "(The answer was too long and ends here.)",
                Sentence.ANSWER_STOPPED: "*Stopped.*",
                Sentence.FILES_ONLY: "Here is what I made.",
                Sentence.FILE_CUT: "I read only a part of `{name}`.",
                Sentence.FILE_TOO_LARGE: "I cannot read `{name}`: it is too large for me.",
                Sentence.FILE_UNKNOWN_KIND: "I cannot read `{name}`: I do not know this kind of file.",
                Sentence.FILE_BROKEN: "I cannot read `{name}`: it is damaged, or not what it says it is.",
                Sentence.FILE_LOCKED: "I cannot read `{name}`: it is protected by a password.",
                Sentence.FILE_TOO_COSTLY: "I cannot read `{name}`: opening it takes more memory or time than I have.",
                Sentence.FILE_EMPTY: "There is nothing in `{name}` that I can read.",
                Sentence.FILE_NOT_GIVEN: (
                    "I cannot read `{name}`: Slack does not let me fetch it. The app may lack the scope `files:read`."
                ),
                Sentence.FILE_NO_TRANSCRIBER: (
                    "I cannot listen to `{name}`: nothing is set up that writes down what is said."
                ),
                Sentence.FILE_NOT_REACHABLE: (
                    "I cannot listen to `{name}`: whoever looks after me has to set `PUBLIC_URL` first."
                ),
                Sentence.FILE_NOT_HEARD: "I could not listen to `{name}` just now.",
                Sentence.FILE_TOO_MANY_IMAGES: "I did not look at `{name}`: there are too many images.",
                Sentence.FILES_TOO_MANY: "I read only the first {count} files of a message.",
                Sentence.FILE_NOT_SHOWN: "I made the file `{name}`, but could not put it into Slack.",
                Sentence.RATE_LIMITED_USER: (
                    "You have asked me a lot just now, so I leave this one out. Please ask again in {seconds} seconds."
                ),
                Sentence.RATE_LIMITED_CHANNEL: (
                    "I was asked a lot in this channel just now, so I leave this one out. Please ask again in "
                    "{seconds} seconds."
                ),
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
                Sentence.SHADOW: "Replayed here: {link}",
                Sentence.COMMAND_NO_QUESTION: "Write the question behind it: `{command} ask <question>`.",
                Sentence.COMMAND_CHANNEL_NOT_ALLOWED: "I do not answer in this channel.",
                Sentence.COMMAND_USER_NOT_ALLOWED: "I am not set up to answer you.",
                Sentence.COMMAND_EXTERNAL_NOT_ALLOWED: (
                    "I do not answer here: this conversation is shared with another organization."
                ),
                Sentence.COMMAND_EXTERNAL_UNKNOWN: (
                    "I cannot see whether this conversation is shared with another organization, so I do not answer "
                    "here. Whoever looks after me can give the app these scopes: {scopes}"
                ),
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
                Sentence.APPROVAL_ASKED: "May I do this outside of this thread? {tool}",
                Sentence.APPROVE: "Approve",
                Sentence.REJECT: "Reject",
                Sentence.STOP: "Stop",
                Sentence.RATE_GOOD: "Good answer",
                Sentence.RATE_BAD: "Bad answer",
                Sentence.RATED: "Thank you, I have noted that.",
                Sentence.GREETING: "Hello! What can I do for you?",
                Sentence.PROMPT_ABILITIES_TITLE: "What can you do?",
                Sentence.PROMPT_ABILITIES: "What can you help me with?",
                Sentence.PROMPT_DRAFT_TITLE: "Draft a message",
                Sentence.PROMPT_DRAFT: "Help me draft a message. First ask me what it is about.",
                Sentence.PROMPT_EXPLAIN_TITLE: "Explain something",
                Sentence.PROMPT_EXPLAIN: "Explain something to me in simple words. First ask me what.",
                Sentence.HOME_HELLO: "*Hello {person}!* Ask me whatever you like: I answer in the thread.",
                Sentence.HOME_HOW: (
                    "*How to ask me*\n"
                    "• Write me a direct message: each one begins a conversation of its own\n"
                    "• Mention me in a channel; in the thread that follows you need not mention me again\n"
                    "• Choose “Ask about this message” in a message's menu"
                ),
                Sentence.HOME_STATUS: (
                    "*How I am set up*\n"
                    "• Connection: {connection}\n"
                    "• Workspace: {workspace}\n"
                    "• Agent: {agent}\n"
                    "• Channels: {channels}\n"
                    "• Language: {spoken}"
                ),
                Sentence.HOME_ALL_CHANNELS: "all that I was invited to",
                Sentence.HOME_NO_AGENT: "none that is ready, so that I cannot answer yet",
                Sentence.HOME_TRIGGERS: "none: I pass on what is said, and answer nothing myself",
                Sentence.HOME_LANGUAGE: "English",
                Sentence.HOME_SETTINGS: "Whoever looks after me can change this.",
                Sentence.HOME_SETTINGS_IN: "Whoever looks after me can change this in {where}, where my connection is.",
                Sentence.SHORTCUT_TITLE: "Ask about this message",
                Sentence.SHORTCUT_LABEL: "What do you want to know?",
                Sentence.SHORTCUT_SUGGESTION: "Explain this message to me.",
            }
        ),
        "pt-BR": MappingProxyType(
            {
                Sentence.THINKING: "_Pensando…_",
                Sentence.WORKING: "_Trabalhando: {task}…_",
                Sentence.STATUS_THINKING: "está pensando…",
                Sentence.AGENT_NOT_CONFIGURED: (
                    "Ainda não posso responder: a conexão `{connection_id}` não tem nenhum agente pronto. Quem cuida "
                    "dela pode escolher um agente e um modelo na configuração da conexão, ou definir "
                    "`DEFAULT_AGENT` para o serviço inteiro."
                ),
                Sentence.NO_ANSWER: (
                    "Desculpe, não consegui obter uma resposta. Por favor, pergunte de novo mais tarde. Se acontecer "
                    "outra vez, esta referência ajuda quem cuida de mim: `{reference}`"
                ),
                Sentence.NOTHING_TO_READ: (
                    "Não há nada nesta mensagem que eu consiga ler. Escreva do que se trata, por favor."
                ),
                Sentence.ANSWER_CUT: "(A resposta era longa demais e termina aqui.)",
                Sentence.ANSWER_STOPPED: "*Interrompida.*",
                Sentence.FILES_ONLY: "Aqui está o que eu fiz.",
                Sentence.FILE_CUT: "Li apenas uma parte de `{name}`.",
                Sentence.FILE_TOO_LARGE: "Não consigo ler `{name}`: é grande demais para mim.",
                Sentence.FILE_UNKNOWN_KIND: "Não consigo ler `{name}`: não conheço esse tipo de arquivo.",
                Sentence.FILE_BROKEN: "Não consigo ler `{name}`: está danificado ou não é o que diz ser.",
                Sentence.FILE_LOCKED: "Não consigo ler `{name}`: está protegido por senha.",
                Sentence.FILE_TOO_COSTLY: (
                    "Não consigo ler `{name}`: abri-lo exige mais memória ou tempo do que eu tenho."
                ),
                Sentence.FILE_EMPTY: "Não há nada em `{name}` que eu consiga ler.",
                Sentence.FILE_NOT_GIVEN: (
                    "Não consigo ler `{name}`: o Slack não me deixa baixá-lo. Talvez falte ao app o escopo "
                    "`files:read`."
                ),
                Sentence.FILE_NO_TRANSCRIBER: (
                    "Não consigo ouvir `{name}`: não há nada configurado que transcreva o que é dito."
                ),
                Sentence.FILE_NOT_REACHABLE: (
                    "Não consigo ouvir `{name}`: quem cuida de mim precisa antes definir `PUBLIC_URL`."
                ),
                Sentence.FILE_NOT_HEARD: "Não consegui ouvir `{name}` agora.",
                Sentence.FILE_TOO_MANY_IMAGES: "Não olhei `{name}`: há imagens demais.",
                Sentence.FILES_TOO_MANY: "Leio apenas os primeiros {count} arquivos de uma mensagem.",
                Sentence.FILE_NOT_SHOWN: "Criei o arquivo `{name}`, mas não consegui colocá-lo no Slack.",
                Sentence.RATE_LIMITED_USER: (
                    "Você me perguntou muita coisa agora há pouco, então deixo esta de lado. Por favor, pergunte de "
                    "novo em {seconds} segundos."
                ),
                Sentence.RATE_LIMITED_CHANNEL: (
                    "Perguntaram-me muita coisa neste canal agora há pouco, então deixo esta de lado. Por favor, "
                    "pergunte de novo em {seconds} segundos."
                ),
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
                Sentence.SHADOW: "Repetido aqui: {link}",
                Sentence.COMMAND_NO_QUESTION: "Escreva a pergunta depois: `{command} ask <pergunta>`.",
                Sentence.COMMAND_CHANNEL_NOT_ALLOWED: "Eu não respondo neste canal.",
                Sentence.COMMAND_USER_NOT_ALLOWED: "Não estou configurado para responder a você.",
                Sentence.COMMAND_EXTERNAL_NOT_ALLOWED: (
                    "Eu não respondo aqui: esta conversa é compartilhada com outra organização."
                ),
                Sentence.COMMAND_EXTERNAL_UNKNOWN: (
                    "Não consigo ver se esta conversa é compartilhada com outra organização, então não respondo aqui. "
                    "Quem cuida de mim pode dar ao app estes escopos: {scopes}"
                ),
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
                Sentence.APPROVAL_ASKED: "Posso fazer isto fora desta conversa? {tool}",
                Sentence.APPROVE: "Aprovar",
                Sentence.REJECT: "Recusar",
                Sentence.STOP: "Parar",
                Sentence.RATE_GOOD: "Boa resposta",
                Sentence.RATE_BAD: "Resposta ruim",
                Sentence.RATED: "Obrigado, está anotado.",
                Sentence.GREETING: "Olá! Em que posso ajudar?",
                Sentence.PROMPT_ABILITIES_TITLE: "O que você sabe fazer?",
                Sentence.PROMPT_ABILITIES: "Em que você pode me ajudar?",
                Sentence.PROMPT_DRAFT_TITLE: "Redigir uma mensagem",
                Sentence.PROMPT_DRAFT: "Ajude-me a redigir uma mensagem. Primeiro me pergunte sobre o que ela é.",
                Sentence.PROMPT_EXPLAIN_TITLE: "Explicar alguma coisa",
                Sentence.PROMPT_EXPLAIN: "Explique-me uma coisa em palavras simples. Primeiro me pergunte o quê.",
                Sentence.HOME_HELLO: "*Olá, {person}!* Pergunte-me o que quiser: respondo na conversa.",
                Sentence.HOME_HOW: (
                    "*Como me perguntar*\n"
                    "• Escreva-me uma mensagem direta: cada uma começa uma conversa própria\n"
                    "• Mencione-me em um canal; na conversa que se segue não é preciso me mencionar de novo\n"
                    "• Escolha “Ask about this message” no menu de uma mensagem"
                ),
                Sentence.HOME_STATUS: (
                    "*Como estou configurado*\n"
                    "• Conexão: {connection}\n"
                    "• Workspace: {workspace}\n"
                    "• Agente: {agent}\n"
                    "• Canais: {channels}\n"
                    "• Idioma: {spoken}"
                ),
                Sentence.HOME_ALL_CHANNELS: "todos para os quais fui convidado",
                Sentence.HOME_NO_AGENT: "nenhum que esteja pronto, por isso ainda não posso responder",
                Sentence.HOME_TRIGGERS: "nenhum: repasso o que é dito e não respondo nada",
                Sentence.HOME_LANGUAGE: "português do Brasil",
                Sentence.HOME_SETTINGS: "Quem cuida de mim pode mudar isto.",
                Sentence.HOME_SETTINGS_IN: "Quem cuida de mim pode mudar isto em {where}, onde está a minha conexão.",
                Sentence.SHORTCUT_TITLE: "Perguntar sobre isto",
                Sentence.SHORTCUT_LABEL: "O que você quer saber?",
                Sentence.SHORTCUT_SUGGESTION: "Explique-me esta mensagem.",
            }
        ),
    }
)


def choose_language(locale: str) -> str | None:
    """Return the catalogue's language for a person's locale, such as `pt-PT`; None when it has none that is near.

    Args:
        locale: IETF language tag, as Slack has it.
    """
    if locale in CATALOGUE:
        return locale
    spoken = locale.partition("-")[0].lower()
    return next((each for each in CATALOGUE if each.partition("-")[0] == spoken), None)


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
