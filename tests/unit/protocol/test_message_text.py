import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.protocol.message_text import DELETED, find_ids, name_ids, read_text

USERS = {"U1": "ann", "B1": "deploy bot"}
CHANNELS = {"C1": "general"}


def read(message: dict[str, Any]) -> str:
    return name_ids(read_text(message), USERS, CHANNELS)


def rich(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"type": "rich_text", "elements": list(elements)}


def section(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"type": "rich_text_section", "elements": list(elements)}


def said(text: str, **style: bool) -> dict[str, Any]:
    return {"type": "text", "text": text, "style": style}


@pytest.mark.parametrize(
    ("markup", "plain"),
    [
        ("hi <@U1>", "hi @ann"),
        ("hi <@U9|ben>", "hi @ben"),
        ("hi <@U9>", "hi @U9"),
        ("in <#C1>, <#C2|random>, <#C3|>", "in #general, #random, #C3"),
        ("<https://x.example/a?b=1&amp;c=2>", "https://x.example/a?b=1&c=2"),
        ("<https://x.example|the page>", "the page (https://x.example)"),
        ("<http://x.example|x.example>", "http://x.example"),
        ("<mailto:a@x.example|a@x.example>", "a@x.example"),
        ("<!here> <!channel|channel> <!everyone>", "@here @channel @everyone"),
        ("<!subteam^S1|@team> <!subteam^S2>", "@team @S2"),
        ("<!date^1700000000^{date_num}|2023-11-14> <!date^1700000000^{time}>", "2023-11-14 2023-11-14 22:13Z"),
        ("<!date^never^{date}> <!date>", "never "),
        ("<!unknown|shown> <!unknown>", "shown @unknown"),
        ("1 &lt; 2 &amp;&amp; &lt;@U1&gt;", "1 < 2 && <@U1>"),
        ("&amp;lt;", "&lt;"),
    ],
)
def test_markup_is_read_as_a_person_reads_it(markup: str, plain: str) -> None:
    assert name_ids(markup, USERS, CHANNELS) == plain


def test_only_what_has_no_name_yet_needs_one() -> None:
    ids = find_ids("<@U1> <@U2|ben> <#C1> <#C2|random> <!here> <https://x.example|@U3> &lt;@U4&gt; <@> <@not an id>")
    assert ids.users == {"U1", "U2"}
    assert ids.channels == {"C1"}


def test_a_text_that_says_all_that_its_blocks_say_is_the_text() -> None:
    blocks = [rich(section(said("Hello "), {"type": "user", "user_id": "U1"}, said(" and welcome", bold=True)))]
    assert read({"text": "Hello <@U1> *and welcome*", "blocks": blocks}) == "Hello @ann *and welcome*"


def test_blocks_that_say_more_than_the_text_are_read_in_its_place() -> None:
    message = {
        "text": "New alert",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": "Build <5> failed"}},
            {
                "type": "section",
                "text": {"type": "mrkdwn", "text": "by <@U1>"},
                "fields": [{"type": "mrkdwn", "text": "*Env*\nprod"}],
            },
            {"type": "divider"},
            {"type": "context", "elements": [{"type": "image", "alt_text": "red"}, {"type": "mrkdwn", "text": "now"}]},
            {
                "type": "actions",
                "elements": [
                    {"type": "button", "text": {"type": "plain_text", "text": "Retry"}, "value": "secret"},
                    {"type": "button", "text": {"type": "plain_text", "text": "Ignore"}},
                ],
            },
            {"type": "markdown", "text": "**bold** text"},
            {"type": "image", "title": {"type": "plain_text", "text": "graph"}, "image_url": "https://x.example"},
            {
                "type": "table",
                "rows": [
                    [{"type": "raw_text", "text": "a"}, {"type": "raw_text", "text": "b"}],
                    [{"type": "raw_text", "text": "1"}, rich(section(said("2\n3")))],
                ],
            },
            {"type": "not_invented_yet", "title": "New", "body": {"type": "mrkdwn", "text": "thing"}},
        ],
    }
    assert read(message).split("\n") == [
        "*Build <5> failed*", "by @ann", "*Env*", "prod", "[image: red] now", "[Retry] [Ignore]", "**bold** text",
        "[image: graph]", "a | b", "1 | 2 3", "New", "thing",
    ]  # fmt: skip


def test_rich_text_keeps_its_lists_quotes_code_and_styles() -> None:
    message = {
        "text": "",
        "blocks": [
            rich(
                section(
                    said("bold", bold=True), said(" "), said("both", bold=True, italic=True), said(" x", code=True),
                    {"type": "link", "url": "https://x.example/a|b", "text": "page"}, said(" <b> "),
                    {"type": "emoji", "name": "wave", "skin_tone": 2}, {"type": "channel", "channel_id": "C1"},
                    {"type": "broadcast", "range": "here"}, {"type": "usergroup", "usergroup_id": "S1"},
                    {"type": "date", "timestamp": 1700000000}, {"type": "color", "value": "#fff"}, {"type": "what"},
                ),
                {"type": "rich_text_list", "style": "ordered", "offset": 1,
                 "elements": [section(said("two")), section(said("three"))]},
                {"type": "rich_text_list", "style": "bullet", "indent": 1, "elements": [section(said("deep"))]},
                {"type": "rich_text_quote", "elements": [said("one\ntwo")]},
                {"type": "rich_text_preformatted", "elements": [said("if a < b:\n    go()")]},
            )
        ],
    }  # fmt: skip
    first = "*bold* _*both*_` x`page (https://x.example/a%7Cb) <b> :wave::skin-tone-2:#general@here@S1"
    assert read(message).split("\n") == [
        f"{first}2023-11-14 22:13Z#fff",
        "2. two", "3. three", "    • deep", "> one", "> two", "```", "if a < b:", "    go()", "```",
    ]  # fmt: skip


def test_attachments_and_files_are_read_and_nothing_is_said_twice() -> None:
    message = {
        "text": "Deploy finished",
        "attachments": [
            {"fallback": "Deploy finished", "pretext": "Deploy finished!", "title": "Build 5", "title_link": "https://x.example",
             "text": "by <@U1>", "color": "good",
             "fields": [{"title": "Env", "value": "prod"}, {"value": "fast"}, {}], "footer": "CI"},
            {"fallback": "only a fallback"},
            {"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "in a block"}}]},
            {"message_blocks": [{"message": {"blocks": [{"type": "markdown", "text": "shared"}]}}, {"message": 5}]},
        ],
        "files": [
            {"id": "F1", "name": "plan.pdf", "mimetype": "application/pdf", "size": 2049},
            {"id": "F2", "title": "Untitled", "filetype": "quip"},
            {"id": "F3", "mode": "tombstone"},
        ],
    }  # fmt: skip
    assert read(message).split("\n") == [
        "Deploy finished", "Build 5 (https://x.example)", "by @ann", "Env: prod", "fast", "CI", "only a fallback",
        "in a block", "shared", "[file: plan.pdf (application/pdf, 3 KiB, F1)]", "[file: Untitled (quip, F2)]",
        "[file: deleted or hidden]",
    ]  # fmt: skip


def test_what_only_has_symbols_is_not_lost() -> None:
    assert read({"text": "", "blocks": [{"type": "markdown", "text": "🎉"}]}) == "🎉"
    assert read({"text": "🎉 done", "blocks": [{"type": "markdown", "text": "🎉"}]}) == "🎉 done"


def test_deleted_and_changed_messages_are_read() -> None:
    assert read({"subtype": "message_deleted", "previous_message": {"text": "was"}}) == DELETED
    assert read({"subtype": "message_changed", "message": {"text": "is"}}) == "is"
    assert read({"subtype": "message_changed", "text": "odd"}) == "odd"
    assert read({}) == ""


NAMES = st.sampled_from(
    ["type", "text", "blocks", "elements", "attachments", "files", "fields", "rows", "title", "mode", "name", "size",
     "style", "bold", "url", "user_id", "skin_tone", "indent", "offset", "message", "message_blocks", "timestamp",
     "subtype", "fallback", "range"]
)  # fmt: skip
KINDS = st.sampled_from(
    ["rich_text", "rich_text_section", "rich_text_list", "rich_text_quote", "rich_text_preformatted", "section",
     "header", "context", "actions", "button", "image", "table", "markdown", "plain_text", "mrkdwn", "link", "user",
     "emoji", "date", "ordered", "message_changed", "tombstone"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20) | KINDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=6),
    max_leaves=40,
)


@given(st.dictionaries(NAMES, JSON, max_size=8))
def test_no_json_makes_it_raise(message: dict[str, Any]) -> None:
    text = read_text(message)
    ids = find_ids(text)
    assert isinstance(name_ids(text, dict.fromkeys(ids.users, "x"), dict.fromkeys(ids.channels, "y")), str)


@given(st.text(alphabet="<>@#!|^UC1 ahttps:/&;\n"))
def test_no_text_makes_it_raise(text: str) -> None:
    find_ids(text)
    name_ids(text, {}, {})


def test_blocks_inside_one_another_without_an_end_are_read_as_far_as_anybody_looks() -> None:
    block: Any = {"type": "rich_text_section", "elements": [said("deep")]}
    for _ in range(5_000):
        block = {"type": "rich_text", "elements": [block]}
    assert read_text({"blocks": [block]}) == ""


def test_no_text_takes_long_to_read() -> None:
    pipes = "|" * 40_000
    fields = [{"title": "k", "value": "v"}] * 20
    rows = [{"text": f"word{number} " * 50, "fields": fields} for number in range(200)]
    begun = time.thread_time()
    assert read({"text": pipes, "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": f"{pipes}x"}}]})
    assert read({"text": "<a" * 20_000, "attachments": [{"text": "<b|" * 20_000}]})
    assert read({"text": "deploys", "attachments": rows})
    assert time.thread_time() - begun < 2


def test_an_attachment_that_says_what_two_others_said_together_is_left_out() -> None:
    attachments = [{"text": "one two"}, {"text": "three"}, {"text": "two, three"}, {"text": "two four"}]
    assert read({"text": "zero", "attachments": attachments}) == "zero\none two\nthree\ntwo four"


def test_a_part_without_words_is_said_once() -> None:
    assert read({"text": "!", "attachments": [{"text": "!"}, {"text": "?"}]}) == "!\n?"
