import re
import time

import pytest
from hostile_markdown import CALLS, INVISIBLE, hostile
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from slack_mcp.protocol.markdown import MAX_TEXT_CHARS, render_mrkdwn
from slack_mcp.protocol.mentions import WORD_JOINER, neutralize
from slack_mcp.protocol.mrkdwn import escape, unescape

words = st.text(alphabet="abcdé_*~`'", min_size=1, max_size=8)
lines = st.lists(
    words
    | st.sampled_from(
        [
            *("**bold**", "*it*", "_it_", "~~gone~~", "a**b**c", "`code`", "``a`b``", "[label one](https://x.y/z_z)"),
            *(
                "[rel](docs/a.md)",
                "![image](https://x.y/i.png)",
                "<https://auto.link>",
                "&amp;",
                "&lt;",
                "R&D",
                "<b>",
                "\\*",
            ),
            *(
                "**_both_**",
                "*a **b** c*",
                "[**b** `c`](mailto:a@b.c)",
                "![](https://x.y/e.png)",
                "5 * 3",
                "e@x.org",
                "  ",
            ),
        ]
    ),
    min_size=1,
    max_size=8,
).map(" ".join)
blocks = st.one_of(
    lines,
    st.lists(lines, min_size=2, max_size=3).map("\n".join),
    st.lists(lines, min_size=2, max_size=3).map("  \n".join),
    st.builds(
        "{} {}".format, st.sampled_from(["#", "###", ">", "> >", "-", "1.", "7)", "  -", "    -", "> -", "- >"]), lines
    ),
    st.builds("{} {}\n   - {}\n\n     {}\n- {}".format, st.sampled_from(["-", "2."]), lines, lines, lines, lines),
    st.builds("```python\n{}\n```".format, lines),
    st.builds("> ```\n> {}\n> ```".format, lines),
    st.builds("- ~~~\n  {}\n  ~~~".format, lines),
    st.builds("| {} | {} |\n|---|--:|\n| {} | {} |".format, words, words, words, words),
    st.builds("{}\n===".format, lines),
    st.just("---"),
)
documents = st.lists(blocks, max_size=8).map("\n\n".join)


def read(markdown: str) -> list[str]:
    """Return the words that are seen of a text."""
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("reference")

    def collect(tokens: list[Token]) -> str:
        return "\n".join(collect(token.children) if token.children else token.content for token in tokens)

    return re.findall(r"\w+", collect(parser.parse(markdown)))


def has_in_order(text: str, wanted: list[str]) -> bool:
    place = 0
    for word in wanted:
        place = text.find(word, place)
        if place < 0:
            return False
        place += len(word)
    return True


@given(hostile | documents)
def test_nothing_rendered_calls_anybody(markdown: str) -> None:
    rendered = render_mrkdwn(markdown)
    # In Slack's markup only a `<` that is no entity can call, and a bare `@here` where names are looked up.
    assert not re.search(r"<(?!https?://|mailto:|tel:)", rendered)
    assert not CALLS.search(unescape(re.sub(r"<(?:https?://|mailto:|tel:)[^<>]*>", "", rendered)))


@given(hostile)
def test_nothing_rendered_calls_anybody_but_people_where_they_are_allowed(markdown: str) -> None:
    rendered = render_mrkdwn(markdown, allow_people=True)
    assert not re.search(r"<(?!https?://|mailto:|tel:|@[UW][A-Z0-9]+>)", rendered)


@given(documents | hostile)
def test_no_word_is_lost_and_all_stand_in_their_order(markdown: str) -> None:
    rendered = unescape(render_mrkdwn(markdown)).translate(INVISIBLE)
    assert has_in_order(rendered, read(markdown.translate(INVISIBLE)))


@given(documents, st.integers(1, 60))
def test_a_text_that_fits_as_written_fits_as_rendered(markdown: str, times: int) -> None:
    text = "\n\n".join([markdown] * times)
    if len(escape(neutralize(text))) <= MAX_TEXT_CHARS:
        assert len(render_mrkdwn(text)) <= MAX_TEXT_CHARS


@pytest.mark.parametrize(
    ("markdown", "mrkdwn"),
    [
        ("**bold** *it* _it_ ~~gone~~ `code`", "*bold* _it_ _it_ ~gone~ `code`"),
        ("***both***", "_*both*_"),
        ("**a **b** c**", "*a b c*"),
        ("# Head **line**", "*Head line*"),
        ("Head\n===", "*Head*"),
        ("a  \nb\nc", "a\nb\nc"),
        ("**a\nb**", "*a*\n*b*"),
        ("R&D: a < b > c", "R&amp;D: a &lt; b &gt; c"),
        ("&lt;b&gt; &copy;", "&lt;b&gt; ©"),
        ("[a **b**](https://x.y/?a=1&b=2)", "<https://x.y/?a=1&amp;b=2|a b>"),
        ("[a](<https://x.y/a|b c>)", "<https://x.y/a%7Cb%20c|a>"),
        ("[a\nb](https://x.y) ![![a](b)](https://x.y/i)", "<https://x.y|a b> <https://x.y/i|a>"),
        ("<https://x.y>", "<https://x.y>"),
        ("<ann@x.org> [call](tel:+1)", "<mailto:ann@x.org|ann@x.org> <tel:+1|call>"),
        ("[guide](docs/guide.md) [](docs)", "guide (docs/guide.md) docs"),
        ("![chart](https://x.y/i.png) ![](https://x.y/j.png)", "<https://x.y/i.png|chart> <https://x.y/j.png>"),
        ("[x](javascript:alert)", "[x](javascript:alert)"),
        ("> a\n> b\n\nc", "> a\n> b\n\nc"),
        ("> a\n>\n> > b", "> a\n>\n> b"),
        ("- a\n- b\n  - c\n    more\n- d", "• a\n• b\n    • c\n        more\n• d"),
        ("3. a\n4. b\n\n   c", "3. a\n4. b\n    c"),
        ("0) a", "0) a"),
        ("- ```\n  x\n  ```\n  y", "•\n```\nx\n```\n    y"),
        ("- [ ] to do", "• [ ] to do"),
        ("```py\na < b\n\n  c\n```", "```\na &lt; b\n\n  c\n```"),
        ("    code", "```\ncode\n```"),
        ("> ```\n> a\n> ```", "> a"),
        ("a\n\n---\n\nb", "a\n\n──────────\n\nb"),
        ("| a | long |\n|--:|---|\n| 1000 | é👋 |", "```\n   a  long\n────  ────\n1000  é👋\n```"),
        ("> | a | b |\n> |---|---|\n> | 1 | 2 |", "> a | b\n> 1 | 2"),
        ("| [a](https://x.y) |\n|---|\n| <https://x.y> |", "```\na (https://x.y)\n───────────────\nhttps://x.y\n```"),
        ("[a][1]\n\n[1]: https://x.y", "[a][1]\n\n[1]: https://x.y"),
        ("<!-- c --> <b>x</b>", "&lt;!-- c --&gt; &lt;b&gt;x&lt;/b&gt;"),
        ("", ""),
        (" \n ", " \n "),
        ("```\n```", "```\n```"),
    ],
)
def test_markdown_becomes_slacks_markup(markdown: str, mrkdwn: str) -> None:
    assert render_mrkdwn(markdown) == mrkdwn


def test_marks_within_words_are_set_apart_by_what_nobody_sees() -> None:
    assert render_mrkdwn("foo**bar**baz") == "foo\u200b*bar*\u200bbaz"
    assert render_mrkdwn("**a***b*") == "*a*\u200b_b_"
    assert render_mrkdwn("snake_case_name 2 * 3 * 4") == "snake_case_name 2 * 3 * 4"
    assert render_mrkdwn("https://x.y/_a_") == "https://x.y/_a_"


def test_marks_that_stand_for_themselves_do_not_format() -> None:
    rendered = render_mrkdwn("\\*not bold\\* \\`a\\` \\> b")
    assert rendered.translate(INVISIBLE) == "*not bold* `a` &gt; b"
    assert f"{WORD_JOINER}*{WORD_JOINER}not" in rendered
    assert render_mrkdwn("\\> no quote") == f"{WORD_JOINER}&gt; no quote"


def test_a_fence_within_code_does_not_end_it() -> None:
    rendered = render_mrkdwn("~~~\n```\n<@U1>\n```\n~~~")
    assert rendered.count("```") == 2
    assert rendered.translate(INVISIBLE) == "```\n```\n&lt;@U1&gt;\n```\n```"


def test_people_are_called_where_they_are_allowed() -> None:
    text = "<@U1> **<@W2>** <!here> &lt;@U1&gt; [<@U1>](https://x.y)"
    rendered = render_mrkdwn(text, allow_people=True)
    assert rendered.translate(INVISIBLE) == ("<@U1> *<@W2>* &lt;!here&gt; <@U1> <https://x.y|&lt;@U1&gt;>")


def test_what_is_nested_too_deeply_is_shown_as_it_was_written() -> None:
    text = "> " * 30 + "deep"
    assert render_mrkdwn(text) == escape(text)


def test_a_table_that_would_not_fit_is_shown_as_it_was_written() -> None:
    wide = "| " + " | ".join("x" * 40 for _ in range(5)) + " |\n" + "|---" * 5 + "|\n" + "|a|b|c|d|e|\n" * 200
    assert render_mrkdwn(wide) == escape(wide)


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 30_000, "![" * 15_000, "[" * 15_000 + "a" + "]" * 15_000, "[a](" * 8_000, "*a " * 10_000, "*" * 30_000),
        *(
            "*a " * 6_000 + "a* " * 6_000,
            "`" * 30_000,
            "> " * 15_000,
            "- " * 15_000,
            "![" * 2_000 + "](b)" * 2_000,
            "<" * 30_000,
            "&amp;" * 6_000,
        ),
        *("<a:" * 10_000, "\\" * 30_000, "a *" * 10_000, "@" * 30_000, "&lt" * 10_000, ">a\n" + "b\n" * 9_000),
        "|" + "a|" * 500 + "\n|" + "-|" * 500 + "\n" + ("|" + "a|" * 500 + "\n") * 20,
        "|" + "a|" * 2_000 + "\n|" + "-|" * 2_000 + "\n" + "|\n" * 2_000,
    ],
    ids=lambda text: repr(text[:8]),
)
def test_no_text_takes_long(text: str) -> None:
    begun = time.thread_time()  # what others take of the machine does not count
    neutralize(text)
    render_mrkdwn(text)
    assert time.thread_time() - begun < 8  # some 0.3 s
