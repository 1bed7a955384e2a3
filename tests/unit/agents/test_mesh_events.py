"""The tools and files of a run."""

import base64
from typing import Any

import pytest
from chunk_scripts import FILE, LINK, PICTURE, failed_call, tool_call
from structlog.testing import capture_logs

from slack_mcp.agents.mesh_events import MAX_TASKS, FileReader, ToolReader, read_data_url, render_title
from slack_mcp.ports.agent import AgentFile, AgentTask, TaskState


def read(*chunks: dict[str, Any]) -> list[tuple[str, str, TaskState]]:
    reader = ToolReader()
    tasks = [reader.feed(chunk) for chunk in chunks]
    return [(task.task_id, task.title, task.state) for task in tasks if task is not None]


def end(**fields: Any) -> dict[str, Any]:
    return {"type": "tool-output-available", "toolCallId": "call_1", "output": {}} | fields


BEGIN = {"type": "tool-input-available", "toolCallId": "call_1", "toolName": "PROBE"}


def test_tool_call_begins_once_and_ends_once() -> None:
    assert read(*tool_call(), *failed_call(), *tool_call()) == [
        ("call_1", "PROBE_ECHO", TaskState.IN_PROGRESS),
        ("call_1", "PROBE_ECHO", TaskState.COMPLETE),
        ("call_2", "PROBE_FAIL", TaskState.IN_PROGRESS),
        ("call_2", "PROBE_FAIL", TaskState.ERROR),
    ]


@pytest.mark.parametrize(
    ("chunk", "state"),
    [
        (end(), TaskState.COMPLETE),
        (end(output="text"), TaskState.COMPLETE),
        (end(output={"content": [], "isError": True}), TaskState.ERROR),
        (end(type="tool-output-denied"), TaskState.ERROR),
        (end(type="tool-input-error"), TaskState.ERROR),
    ],
)
def test_end_of_a_tool_call_is_as_the_tool_says(chunk: dict[str, Any], state: TaskState) -> None:
    assert [each for *_, each in read(BEGIN, chunk)] == [TaskState.IN_PROGRESS, state]


@pytest.mark.parametrize(
    "chunk",
    [end(toolCallId="unknown"), end(toolCallId=5), end(preliminary=True), BEGIN | {"toolCallId": "x", "toolName": 7}],
)
def test_what_tells_nothing_new_of_a_tool_is_passed_over(chunk: dict[str, Any]) -> None:
    assert len(read(BEGIN, chunk)) == 1


def test_calls_without_end_do_not_fill_the_memory() -> None:
    assert len(read(*({**BEGIN, "toolCallId": str(number)} for number in range(MAX_TASKS + 5)))) == MAX_TASKS


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("PROBE_ECHO", "PROBE_ECHO"),
        ("conn-avixot5tlpsx0zs8gg2kz_PROBE_ECHO", "PROBE_ECHO"),
        ("conn-a-b_search", "search"),
        ("<!channel> look", "channel look"),
        ("x" * 200, "x" * 100),
        ("\u202e", "tool"),
        ("", "tool"),
    ],
)
def test_title_is_the_tools_own_name(name: str, title: str) -> None:
    assert render_title(name) == title


def test_file_that_is_sent_along_is_opened() -> None:
    assert FileReader().feed(FILE) == AgentFile(name="file-1.png", mimetype="image/png", content=PICTURE)


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("plan.pdf", "plan.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\plan.pdf", "plan.pdf"),
        ("a\n<b>.png", "a_b_.png"),
        ("..", "file-1.png"),
        (7, "file-1.png"),
    ],
)
def test_file_keeps_its_name_but_no_path(filename: object, name: str) -> None:
    file = FileReader().feed(FILE | {"filename": filename})
    assert file is not None
    assert file.name == name


@pytest.mark.parametrize("media_type", [None, 5, "no type", "image/png\r\nX: y"])
def test_type_that_is_none_is_the_addresses_own(media_type: object) -> None:
    file = FileReader().feed({**FILE, "mediaType": media_type})
    assert file is not None
    assert file.mimetype == "image/png"


@pytest.mark.parametrize("url", [LINK["url"], "http://m.example/a.png", "file:///etc/passwd", None])
def test_file_elsewhere_is_not_fetched(url: object) -> None:
    assert FileReader().feed(FILE | {"url": url}) is None
    assert FileReader().feed({"type": "text-delta", "url": FILE["url"]}) is None


def test_files_are_taken_as_long_as_there_is_room_for_them() -> None:
    reader = FileReader(max_files=2, max_bytes=2 * len(PICTURE))
    with capture_logs() as logs:
        taken = [reader.feed(FILE), reader.feed(FILE | {"url": "data:,"}), reader.feed(FILE), reader.feed(FILE)]
    assert [None if file is None else file.name for file in taken] == ["file-1.png", None, "file-2.png", None]
    assert [log["event"] for log in logs] == ["agent.file_left_out"] * 2
    small = FileReader(max_bytes=1)
    assert small.feed(FILE) is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("data:,a%20b", ("text/plain", b"a b")),
        ("data:text/csv;charset=utf-8,1", ("text/csv", b"1")),
        ("data:;base64,YWJj", ("application/octet-stream", b"abc")),
        ("data:image/svg+xml;charset=utf-8;base64,YWJj", ("image/svg+xml", b"abc")),
        ("data:image/png;base64,Y", None),
        ("data:image/png;base64,***", None),
        ("data:image/png;base64", None),
        ("https://m.example", None),
    ],
)
def test_data_url_is_read_as_the_standard_has_it(url: str, expected: tuple[str, bytes] | None) -> None:
    assert read_data_url(url) == expected


def test_task_is_a_plain_record() -> None:
    assert ToolReader().feed(BEGIN) == AgentTask(task_id="call_1", title="PROBE", state=TaskState.IN_PROGRESS)
    assert base64.b64decode(FILE["url"].partition(",")[2]) == PICTURE
