import contextlib
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from chunk_scripts import DONE as SENT_DONE
from chunk_scripts import FINISH, LINK, SCRIPTS, Chunk, render_event, start, step, text, to_parts, tool_call
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.core.errors import AgentStreamBrokenError
from slack_mcp.protocol.agent_stream import DONE, AnswerReader, ChunkParser, replay_message

Parsed = list[Mapping[str, Any] | str]


def parse(*pieces: bytes, max_event_bytes: int = 200) -> Parsed:
    """Return the chunks, and in place of an error its text."""
    parser = ChunkParser(max_event_bytes=max_event_bytes)
    parsed: Parsed = []
    try:
        for piece in pieces:
            parsed.extend(parser.feed(piece))
    except AgentStreamBrokenError as error:
        parsed.append(str(error))
    return parsed


def read(chunks: Sequence[Chunk], *, max_chars: int = 1000) -> str:
    reader = AnswerReader(max_chars=max_chars)
    for chunk in chunks:
        reader.feed(chunk)
    return reader.take_answer()


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = [0, *sorted(place % (len(data) + 1) for place in at), len(data)]
    return [data[left:right] for left, right in itertools.pairwise(places)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
chunks_as_sent = st.builds(
    lambda rest, kind: rest | {"type": kind}, st.dictionaries(st.text(max_size=5), json_values, max_size=3), st.text()
)
stream_lines = st.one_of(
    chunks_as_sent.map(lambda chunk: b"data: " + json.dumps(chunk, ensure_ascii=False).encode("utf-8", "replace")),
    st.sampled_from(
        [b": comment", b"event: x", b"id: 7", b"data: [DONE]", b"data:", b"data", b"", b"\xef\xbb\xbf", b"x"]
    ),
    st.binary(max_size=20),
)
streams = st.lists(
    st.tuples(stream_lines, st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\r\n", b"\r\r"]))
).map(lambda lines: b"".join(line + end for line, end in lines))


@given(streams, st.lists(st.integers(0, 10_000), max_size=12))
def test_any_cut_of_the_bytes_gives_the_same_events_and_the_same_error(data: bytes, at: list[int]) -> None:
    assert parse(*cut(data, at)) == parse(data)


@given(streams)
def test_byte_by_byte_gives_the_same_events(data: bytes) -> None:
    assert parse(*(data[i : i + 1] for i in range(len(data)))) == parse(data)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_cuts_within_line_ends_letters_and_the_byte_order_mark_change_nothing(end: bytes) -> None:
    lines = [b": hi", b'data: {"type":"a",', 'data: "é": "👋\u2028"}'.encode(), b"", b"data:[DONE]", b"", b""]
    data = b"\xef\xbb\xbf" + end.join(lines)
    events = [{"type": "a", "é": "👋\u2028"}, DONE]
    for left in range(len(data) + 1):
        for right in range(left, len(data) + 1):
            assert parse(data[:left], data[left:right], data[right:]) == events


@given(
    said=st.lists(st.text(alphabet="aé👋\u2028 \n\r*", max_size=6), max_size=12),
    at=st.lists(st.integers(0, 10_000), max_size=12),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    final_only=st.booleans(),
)
def test_the_answer_is_the_same_however_its_words_and_its_bytes_were_cut(
    *, said: list[str], at: list[int], end: str, final_only: bool
) -> None:
    deltas = [{"type": "text-delta", "id": "0", "delta": delta} for delta in said]
    chunks = [start("m"), *step(text("", "0")[0], *deltas, text("", "0")[-1]), FINISH]
    lines = [line for chunk in chunks for line in (f"data: {json.dumps(chunk, ensure_ascii=False)}", ": wait", "")]
    parser, reader = ChunkParser(), AnswerReader(final_only=final_only)
    answer = "".join(
        reader.feed(chunk)
        for part in cut("".join(line + end for line in lines).encode(), at)
        for chunk in parser.feed(part)
    )
    whole = "".join(said)
    assert answer + reader.take_answer() == (whole if whole.strip() else "")


@given(st.lists(chunks_as_sent.filter(lambda chunk: chunk["type"] != "[DONE]"), max_size=4))
def test_what_was_sent_is_what_is_read(chunks: list[Chunk]) -> None:
    data = b"".join(f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks)
    assert parse(data, max_event_bytes=100_000) == chunks


@given(st.binary(max_size=300))
def test_garbage_is_never_an_error_of_another_kind(data: bytes) -> None:
    parse(data, b"\n\n")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_comments_and_other_fields_are_understood(end: str) -> None:
    lines = [": keep-alive", "", "event: message", "id: 1", 'data: {"type":', 'data:"a"}', "", "data: [DONE]", "", ""]
    assert parse(end.join(lines).encode()) == [{"type": "a"}, DONE]


def test_event_without_its_blank_line_is_not_complete() -> None:
    assert parse(b'data: {"type":"a"}\n') == []


def test_byte_order_mark_at_the_start_is_skipped() -> None:
    assert parse(b'\xef\xbb\xbfdata: {"type":"a"}\n\n') == [{"type": "a"}]


@pytest.mark.parametrize(
    "data", [b"{not json", b"5", b"[]", b"{}", b'{"type":1}', b"\xff\xff", b"[" * 100_000, b"9" * 5000]
)
def test_event_that_is_no_chunk_breaks_the_stream_without_quoting_it(data: bytes) -> None:
    (problem,) = parse(b"data: " + data + b"\n\n", max_event_bytes=1_000_000)
    assert problem in {
        "The agent sent an event that is not JSON.",
        "The agent sent an event that is not a message chunk.",
    }


@pytest.mark.parametrize("data", [b"data: " + b"x" * 300, b"data: x\n" * 100, b": " + b"x" * 300 + b"\n"])
def test_event_that_is_too_large_breaks_the_stream(data: bytes) -> None:
    assert parse(data) == ["The agent sent an event of more than 200 bytes."]
    assert parse(*(data[i : i + 7] for i in range(0, len(data), 7))) == parse(data)


def test_many_small_events_are_not_one_large_event() -> None:
    assert len(parse(b'data: {"type":"a"}\n\n' * 100)) == 100


def test_plain_answer_is_the_text() -> None:
    assert read([start("m"), *SCRIPTS["ok"]("Olá, mundo")]) == "Olá, mundo"


def test_words_before_a_tool_are_not_the_answer() -> None:
    assert read([start("m"), *SCRIPTS["tool"]("It is 7.")]) == "It is 7."


def test_two_tool_steps_leave_the_text_after_the_second() -> None:
    first, second = step(*text("One."), *tool_call("1")), step(*text("Two."), *tool_call("2"))
    assert read([*first, *second, *step(*text("Three.")), FINISH]) == "Three."


def test_text_that_interleaves_with_a_tool_in_its_step_is_not_the_answer() -> None:
    words = text("Let me check.")
    chunks = step(*words[:2], *tool_call(), *words[2:])
    assert read([*chunks, *step(*text("Done.")), FINISH]) == "Done."


def test_agent_that_ends_with_a_tool_has_its_last_words_for_an_answer() -> None:
    assert read([*step(*text("I opened the ticket."), *tool_call()), FINISH]) == "I opened the ticket."
    chunks = [*step(*text("First."), *tool_call()), *step(*tool_call()), *step(), FINISH]
    assert read(chunks) == "First."


def test_parts_of_one_step_are_paragraphs_even_when_they_interleave() -> None:
    one, two = text("Hello there", "1"), text("Good bye", "2")
    mixed = [chunk for pair in zip(one, two, strict=True) for chunk in pair]
    assert read([*step(*mixed), FINISH]) == "Hello there\n\nGood bye"


def test_later_steps_may_use_the_same_part_ids() -> None:
    assert read([*step(*text("One", "0")), *step(*text("Two", "0")), FINISH]) == "One\n\nTwo"


def test_new_start_forgets_what_came_before() -> None:
    assert read([start("1"), *step(*text("Old")), start("2"), *step(*text("New")), FINISH]) == "New"


def test_agent_may_end_without_a_word() -> None:
    assert read(list(SCRIPTS["silent"]("x"))[:-1]) == ""


def test_done_is_an_end_too() -> None:
    parser, reader = ChunkParser(), AnswerReader()
    for chunk in [*step(*text("Yes")), SENT_DONE]:
        for parsed in parser.feed(render_event(chunk)):
            reader.feed(parsed)
    assert reader.take_answer() == "Yes"


@pytest.mark.parametrize("name", ["error", "abort", "ends"])
def test_turn_without_an_end_of_its_own_is_broken_and_the_reason_is_not_quoted(name: str) -> None:
    with pytest.raises(AgentStreamBrokenError) as caught:
        read(list(SCRIPTS[name]("answer")))
    assert "SECRET" not in str(caught.value)


def test_finish_for_an_error_is_no_answer() -> None:
    with pytest.raises(AgentStreamBrokenError):
        read([*step(*text("Half")), {"type": "finish", "finishReason": "error"}])


def test_answer_that_is_too_long_is_broken() -> None:
    assert read([*text("x" * 1000), FINISH]) == "x" * 1000
    with pytest.raises(AgentStreamBrokenError):
        read([*text("x" * 1001), FINISH])


@pytest.mark.parametrize("delta", [None, 7, ["x"]])
def test_text_that_is_no_text_is_broken(delta: object) -> None:
    with pytest.raises(AgentStreamBrokenError):
        read([{"type": "text-delta", "id": "0", "delta": delta}])


@given(st.lists(st.sampled_from([*text("ab"), *tool_call(), FINISH, SENT_DONE, start("m"), *step()])))
def test_chunks_in_any_order_give_an_answer_or_the_one_error(chunks: list[Chunk]) -> None:
    with contextlib.suppress(AgentStreamBrokenError):
        assert isinstance(read(chunks), str)


def read_live(chunks: Sequence[Chunk]) -> str:
    reader = AnswerReader(max_chars=1000, final_only=False)
    said = [reader.feed(chunk) for chunk in chunks]
    return "".join([*said, reader.take_answer()])


def read_stored(parts: Sequence[Any], *, final_only: bool) -> str:
    reader = AnswerReader(final_only=final_only)
    said = [reader.feed(chunk) for chunk in [*replay_message(parts), FINISH]]
    return "".join([*said, reader.take_answer()])


words = st.sampled_from(["Hello", " ", "", "\n", "Good bye."])
blocks = st.one_of(
    words.map(text),
    st.tuples(words, words).map(
        lambda two: [each for pair in zip(text(two[0], "1"), text(two[1], "2"), strict=True) for each in pair]
    ),
    st.integers(0, 9).map(lambda number: tool_call(f"call_{number}")),
    st.just([LINK]),
    words.map(lambda said: text(said)[:2]),
)
runs = st.lists(st.lists(blocks, max_size=3).map(lambda inner: step(*itertools.chain(*inner))), max_size=4).map(
    lambda steps: [start("m"), *itertools.chain(*steps), FINISH]
)


@given(run=runs, final_only=st.booleans())
def test_stored_message_says_what_its_run_said(run: list[Chunk], *, final_only: bool) -> None:
    live = read(run) if final_only else read_live(run)
    assert read_stored(to_parts(run), final_only=final_only) == live


@given(runs)
def test_what_is_handed_out_is_all_that_was_said_in_paragraphs(run: list[Chunk]) -> None:
    said = [part.get("text") or part["url"] for part in to_parts(run) if part.get("text") or part["type"] == "file"]
    assert read_live(run) == "\n\n".join(each for each in said if each.strip())


def test_words_are_handed_out_as_they_come_and_wait_for_those_before_them() -> None:
    reader = AnswerReader(final_only=False)
    one, two = text("One", "1"), text("Two.", "2")
    chunks = [one[0], two[0], two[1], one[1], two[2], two[3], one[2], one[3]]
    assert [reader.feed(chunk) for chunk in chunks] == ["", "", "", "O", "", "", "ne", "\n\nTwo."]


def test_words_that_were_handed_out_are_not_taken_back() -> None:
    reader = AnswerReader(final_only=False)
    reader.feed(start("1"))
    reader.feed({"type": "text-delta", "id": "0", "delta": " "})
    reader.feed(start("2"))
    assert reader.feed({"type": "text-delta", "id": "0", "delta": "Yes"}) == "Yes"
    with pytest.raises(AgentStreamBrokenError, match="begun again"):
        reader.feed(start("3"))


@pytest.mark.parametrize(
    "url", ["http://files.example/a", "https://files.example/a b", "https://x|<!channel>", "data:,x", None, "https://"]
)
def test_address_that_could_be_anything_is_no_paragraph(url: object) -> None:
    assert read_live([start("m"), {"type": "file", "url": url}, FINISH]) == ""


def test_stored_message_without_steps_is_read_by_the_same_rule() -> None:
    tool = {"type": "tool-PROBE_ECHO", "output": {}}
    parts = [{"type": "text", "text": "Wait."}, tool, {"type": "text", "text": "Seven."}]
    assert read_stored(parts, final_only=True) == "Seven."
    assert read_stored(parts, final_only=False) == "Wait.\n\nSeven."
    assert read_stored([{"type": "text", "text": "Done."}, {"type": "dynamic-tool"}], final_only=True) == "Done."
    garbage = [None, 5, {}, {"type": 3}, {"type": "text", "text": 4}, {"type": "text", "text": " "}]
    assert read_stored(garbage, final_only=True) == ""


def test_stored_tool_call_that_has_not_ended_has_no_result() -> None:
    part = {"type": "tool-PROBE", "toolCallId": "c", "state": "input-available"}
    assert [chunk["type"] for chunk in replay_message([{"type": "step-start"}, part])] == [
        "start-step",
        "tool-input-available",
    ]
