from string import Formatter

import pytest

from slack_mcp.catalogue import CATALOGUE, ENGLISH, Sentence, choose_language, render_sentence


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


@pytest.mark.parametrize("language", list(CATALOGUE))
@pytest.mark.parametrize("sentence", list(Sentence))
def test_every_language_has_every_sentence_with_the_same_placeholders(language: str, sentence: Sentence) -> None:
    template = CATALOGUE[language][sentence]
    assert template.strip() == template != ""
    assert placeholders(template) == placeholders(CATALOGUE[ENGLISH][sentence])


def test_languages_differ() -> None:
    for sentence in Sentence:
        assert len({table[sentence] for table in CATALOGUE.values()}) == len(CATALOGUE)


def test_a_sentence_names_its_values() -> None:
    assert "`conn_1`" in render_sentence("pt-BR", Sentence.AGENT_NOT_CONFIGURED, connection_id="conn_1")


def test_unknown_language_is_answered_in_english() -> None:
    assert render_sentence("tlh", Sentence.THINKING) == render_sentence(ENGLISH, Sentence.THINKING)


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        ("pt-BR", "pt-BR"),
        ("pt-PT", "pt-BR"),
        ("pt", "pt-BR"),
        ("en-US", "en"),
        ("EN-gb", "en"),
        ("p", None),
        ("", None),
    ],
)
def test_a_locale_is_spoken_by_the_language_that_is_nearest(locale: str, language: str | None) -> None:
    assert choose_language(locale) == language


@pytest.mark.parametrize("language", list(CATALOGUE))
def test_what_stands_on_buttons_and_forms_is_as_short_as_slack_wants(language: str) -> None:
    limits = {
        Sentence.FORM_TITLE: 24,
        Sentence.FORM_SEND: 24,
        Sentence.FORM_CANCEL: 24,
        Sentence.SHORTCUT_TITLE: 24,
        Sentence.STOP: 75,
        Sentence.RATE_GOOD: 75,
        Sentence.RATE_BAD: 75,
        Sentence.STATUS_THINKING: 50,
    }
    assert [each for each, most in limits.items() if len(CATALOGUE[language][each]) > most] == []
