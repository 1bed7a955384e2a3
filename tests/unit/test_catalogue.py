from string import Formatter

import pytest

from slack_mcp.catalogue import CATALOGUE, ENGLISH, Sentence, render_sentence


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
