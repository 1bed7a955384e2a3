import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.protocol.canvas_html import read_canvas_html


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<h1 id='temp:C:1'>Plan</h1><p id='temp:C:2' class='line'>one<br/>two</p>", "# Plan\n\none\ntwo"),
        ("<h3>a &amp; b</h3>", "### a & b"),
        ("<ul><li>a</li><li class='checked'>b</li></ul>after", "- a\n- [x] b\n\nafter"),
        ("<ol><li>a<ul><li><p>b</p></li></ul></li><li>c</li></ol>", "1. a\n  - b\n\n2. c"),
        ("<p><b>bold</b> <i>it</i> <del>no</del> <code>x</code></p>", "**bold** *it* ~~no~~ `x`"),
        ("<p><a href='https://x.example'>label</a></p>", "[label](https://x.example)"),
        ("<a href='https://x.example'>https://x.example</a>", "https://x.example"),
        ("<pre><code>a\n  b</code></pre>", "```\na\n  b\n```"),
        ("<blockquote>said</blockquote>", "> said"),
        ("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>", "| a | b |\n| 1 | 2 |"),
        ("<p>a</p><hr/><p>b</p>", "a\n\n---\n\nb"),
        ("<head><title>t</title></head><style>p {}</style><script>x()</script><p>a</p>", "a"),
        ("<p>a  \n  b\u200b c</p>", "a b c"),
        ("<p>a <img alt='a cat' src='https://x'/></p>", "a ![a cat]"),
        ("<p>a</p>\n\n\n<p></p>\n<p>b</p>", "a\n\nb"),
        ("<!DOCTYPE html><!-- <p>no</p> --><p>a<!----> b <!-- to the end", "a b"),
        ("<p>1 < 2 <3 <![if]> <?x?></p>", "1 < 2 <3 <![if]> <?x?>"),
        ("<li>alone</li></ul></a></pre></script>", "- alone\n\n```"),
        ("", ""),
    ],
)
def test_html_becomes_markdown(html: str, expected: str) -> None:
    assert read_canvas_html(html) == expected


@given(st.text(alphabet="<>/!-[]&;#= 'ab\"phluiCDATA\n", max_size=200) | st.text())
def test_nothing_makes_it_raise(html: str) -> None:
    read_canvas_html(html)


@pytest.mark.parametrize(
    "part", ["<!--", "<!-- -->", "<", "<a", "<a b=<", "</", "<a b='", "<![CDATA[", "<?", "&#", "<p "]
)
def test_no_html_takes_long_to_read(part: str) -> None:
    begun = time.thread_time()
    read_canvas_html(part * (100_000 // len(part)))
    assert time.thread_time() - begun < 2


def test_no_blanks_take_long_to_read() -> None:
    blanks = " " * 100_000
    begun = time.thread_time()
    assert read_canvas_html(f"<pre>a{blanks}b{blanks}\n\tc</pre>") == f"```\na{blanks}b\n\tc\n```"
    assert time.thread_time() - begun < 2
