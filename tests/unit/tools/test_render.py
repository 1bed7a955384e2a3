"""What a tool's result is to a client."""

from typing import Any

import pytest
from mcp import types

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.tools.reactions import TOOLS as REACTION_TOOLS
from slack_mcp.tools.tool import Arguments, Result, Tool

HALF = "caf\ud83d"


class Nothing(Arguments):
    pass


class Words(Result):
    words: list[str]
    by: dict[str, str]


async def run(*_: Any) -> Words:
    raise AssertionError


TOOL = Tool(name="WORDS", title="Words", description="Words.", arguments=Nothing, result=Words, run=run)


def test_half_a_surrogate_pair_does_not_break_the_answer() -> None:
    rendered = TOOL.render(Words(words=[HALF], by={"ann": HALF}), Nothing())
    assert rendered.structured_content == {"words": ["caf?"], "by": {"ann": "caf?"}}
    (content,) = rendered.content
    assert isinstance(content, types.TextContent)
    assert content.text == '{"words":["caf?"],"by":{"ann":"caf?"}}'
    rendered.model_dump_json()


def test_whole_text_stays_as_it_is() -> None:
    rendered = TOOL.render(Words(words=["café 😀"], by={}), Nothing())
    assert rendered.structured_content == {"words": ["café 😀"], "by": {}}


def test_an_argument_of_the_wrong_shape_is_told_by_what_it_should_be() -> None:
    (tool,) = [each for each in REACTION_TOOLS if each.name == "SLACK_ADD_REACTION"]
    with pytest.raises(InvalidInputError, match=r"emoji: this does not look right\. Its name, such as thumbsup"):
        tool.parse({"channel": "C1", "timestamp": "1700000000.000100", "emoji": "thumbs up"})
