import time

import pytest

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.tools.previews import check_comment, check_markdown


@pytest.mark.parametrize(
    "text",
    [
        "https://x.example",
        "<http://x.example|x>",
        "WWW.x.example",
        "x.example/?q=1",
        "see X.Example?q=1",
        "slack://open",
    ],
)
def test_a_comment_with_a_link_is_refused_unless_it_is_meant(text: str) -> None:
    with pytest.raises(InvalidInputError, match="unfurl_links"):
        check_comment(text, unfurl_links=False)
    check_comment(text, unfurl_links=True)


@pytest.mark.parametrize(
    "text", [None, "", "see README.md", "v1.2/beta, and/or", "e.g./i.e.", "done. Why?", "*bold* <@U1>"]
)
def test_a_comment_without_a_link_is_taken(text: str | None) -> None:
    check_comment(text, unfurl_links=False)


@pytest.mark.parametrize(
    "text",
    [
        "![](https://x.example)",
        "![a [b] c](https://x.example)",
        "![a\nb](https://x.example)",
        "![a](<https://x.example>)",
        "![a][b]",
        "![b]\n\n[b]: https://x.example",
        "![](@U0ANN00) ![](https://x.example)",
        "text ![](@ https://x.example)",
    ],
)
def test_markdown_that_embeds_is_refused_unless_it_is_meant(text: str) -> None:
    with pytest.raises(InvalidInputError, match="unfurl_links"):
        check_markdown(text, unfurl_links=False)
    check_markdown(text, unfurl_links=True)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "[label](https://x.example)",
        "![](@U0ANN00) and ![](#C0GENERAL) [label](https://x.example)",
        "`vec![1]`\n\n[label](https://x.example)",
        "wow!",
    ],
)
def test_markdown_that_embeds_nothing_is_taken(text: str | None) -> None:
    check_markdown(text, unfurl_links=False)


@pytest.mark.parametrize("part", ["![", "![[", "[", "](", "![]\n", "\n\n![", "![](@", "a.a", " [a]"])
def test_the_longest_text_is_looked_through_at_once(part: str) -> None:
    text = part * (200_000 // len(part))
    begun = time.thread_time()
    for check in (check_comment, check_markdown):
        try:
            check(text, unfurl_links=False)
        except InvalidInputError:
            continue
    assert time.thread_time() - begun < 2
