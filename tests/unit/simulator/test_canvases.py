from typing import Any

import pytest

from slack_mcp.simulator import Workspace
from slack_mcp.simulator.args import Args
from slack_mcp.simulator.canvases import CANVAS_METHODS
from slack_mcp.simulator.files import FILE_METHODS
from slack_mcp.simulator.model import SlackRefusalError

MARKDOWN = "# Plan\n\nFirst *we* think.\n\n## Steps\n- one\n- two"


def call(workspace: Workspace, method: str, **args: Any) -> dict[str, Any]:
    run, _ = (CANVAS_METHODS | FILE_METHODS)[method]
    return run(workspace, Args(args)).body


def refused(workspace: Workspace, method: str, **args: Any) -> str:
    with pytest.raises(SlackRefusalError) as caught:
        call(workspace, method, **args)
    return caught.value.code


def content(markdown: str) -> dict[str, str]:
    return {"type": "markdown", "markdown": markdown}


@pytest.fixture
def canvas_id(workspace: Workspace) -> str:
    made = call(workspace, "canvases.create", title="Our Plan", document_content=content(MARKDOWN))
    return str(made["canvas_id"])


def edit(workspace: Workspace, canvas_id: str, **change: Any) -> str:
    call(workspace, "canvases.edit", canvas_id=canvas_id, changes=[change])
    return str(call(workspace, "canvases.getContent", canvas_id=canvas_id)["content"])


def section(workspace: Workspace, canvas_id: str, text: str) -> str:
    found = call(workspace, "canvases.sections.lookup", canvas_id=canvas_id, criteria={"contains_text": text})
    return str(found["sections"][0]["id"])


def test_a_canvas_is_a_file_with_html(workspace: Workspace, canvas_id: str) -> None:
    file = call(workspace, "files.info", file=canvas_id)["file"]
    assert (file["filetype"], file["mimetype"], file["title"]) == ("quip", "application/vnd.slack-docs", "Our Plan")
    html = workspace.shelf.files[canvas_id].content.decode()
    assert "'>Plan</h1>" in html
    assert "<li>one</li><li>two</li></ul>" in html
    assert call(workspace, "canvases.getContent", canvas_id=canvas_id, content_type="html")["content"] == html
    assert file["size"] == len(html.encode())
    assert refused(workspace, "canvases.getContent", canvas_id=canvas_id, content_type="pdf") == "invalid_arguments"


def test_a_canvas_may_be_empty_and_in_a_channel(workspace: Workspace) -> None:
    made = call(workspace, "canvases.create", channel_id="C1")
    assert call(workspace, "canvases.getContent", canvas_id=made["canvas_id"])["content"] == ""
    assert call(workspace, "files.info", file=made["canvas_id"])["file"]["channels"] == ["C1"]


@pytest.mark.parametrize("wrong", [{"type": "html", "markdown": "x"}, {"type": "markdown"}])
def test_a_canvas_is_made_of_markdown(workspace: Workspace, wrong: dict[str, str]) -> None:
    assert refused(workspace, "canvases.create", document_content=wrong) == "canvas_creation_failed"


def test_sections_are_found_by_type_and_text(workspace: Workspace, canvas_id: str) -> None:
    def find(**criteria: Any) -> int:
        return len(call(workspace, "canvases.sections.lookup", canvas_id=canvas_id, criteria=criteria)["sections"])

    assert find(section_types=["any_header"]) == 2
    assert find(section_types=["h2"]) == 1
    assert find(section_types=["h1"], contains_text="Steps") == 0
    assert find(contains_text="think") == 1
    for criteria in ({}, {"section_types": ["h9"]}):
        error = refused(workspace, "canvases.sections.lookup", canvas_id=canvas_id, criteria=criteria)
        assert error == "invalid_arguments"


def test_every_operation_of_an_edit(workspace: Workspace, canvas_id: str) -> None:
    new = content("new")
    think = section(workspace, canvas_id, "think")
    at = "First *we* think."
    assert edit(workspace, canvas_id, operation="insert_at_start", document_content=new).startswith("new\n\n# Plan")
    assert edit(workspace, canvas_id, operation="insert_at_end", document_content=content("end")).endswith("end")
    before = edit(workspace, canvas_id, operation="insert_before", section_id=think, document_content=content("b"))
    assert f"b\n\n{at}" in before
    after = edit(workspace, canvas_id, operation="insert_after", section_id=think, document_content=content("a"))
    assert f"{at}\n\na" in after
    replaced = edit(
        workspace, canvas_id, operation="replace", section_id=think, document_content=content("two\n\nparts")
    )
    assert at not in replaced
    assert "b\n\ntwo\n\nparts\n\na" in replaced
    steps = section(workspace, canvas_id, "Steps")
    assert "Steps" not in edit(workspace, canvas_id, operation="delete", section_id=steps)
    assert edit(workspace, canvas_id, operation="replace", document_content=content("all")) == "all"
    assert workspace.shelf.files[canvas_id].content.endswith(b"'line'>all</p>")
    edit(workspace, canvas_id, operation="rename", title_content=content("Renamed"))
    assert workspace.shelf.files[canvas_id].title == "Renamed"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ([], "invalid_arguments"),
        ([{"operation": "delete"}] * 2, "invalid_arguments"),
        (["delete"], "invalid_arguments"),
        ([{"operation": "explode", "document_content": {"type": "markdown", "markdown": "x"}}], "invalid_arguments"),
        (
            [{"operation": "insert_after", "document_content": {"type": "markdown", "markdown": "x"}}],
            "invalid_arguments",
        ),
        ([{"operation": "delete", "section_id": "temp:C:none"}], "canvas_editing_failed"),
        ([{"operation": "replace", "document_content": {"type": "html"}}], "canvas_editing_failed"),
    ],
)
def test_what_an_edit_must_not_be(workspace: Workspace, canvas_id: str, changes: list[Any], error: str) -> None:
    assert refused(workspace, "canvases.edit", canvas_id=canvas_id, changes=changes) == error


def test_markup_in_a_canvas_is_escaped(workspace: Workspace) -> None:
    made = call(workspace, "canvases.create", document_content=content("# <b>\n\n<script>"))
    html = workspace.shelf.files[made["canvas_id"]].content.decode()
    assert "&lt;b&gt;" in html
    assert "<script>" not in html


def test_access_is_given_and_taken_and_the_owner_changes(workspace: Workspace, canvas_id: str) -> None:
    file = workspace.shelf.files[canvas_id]
    args = {"canvas_id": canvas_id, "access_level": "read"}
    call(workspace, "canvases.access.set", **args, channel_ids="C1")
    call(workspace, "canvases.access.set", **args, user_ids=["UANN1"])
    assert file.access == {"C1": "read", "UANN1": "read"}
    call(workspace, "canvases.access.delete", canvas_id=canvas_id, channel_ids=["C1"])
    assert file.access == {"UANN1": "read"}
    call(workspace, "canvases.access.set", canvas_id=canvas_id, access_level="owner", user_ids=["UANN1"])
    assert (file.user_id, file.access["UBOT1"]) == ("UANN1", "write")
    assert edit(workspace, canvas_id, operation="insert_at_end", document_content=content("still")).endswith("still")
    assert refused(workspace, "canvases.delete", canvas_id=canvas_id) == "restricted_action"


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({"access_level": "read"}, "invalid_parameters"),
        ({"access_level": "read", "user_ids": ["UANN1"], "channel_ids": ["C1"]}, "invalid_parameters"),
        ({"access_level": "read", "user_ids": ["U404"]}, "user_not_found"),
        ({"access_level": "read", "channel_ids": ["C404"]}, "channel_not_found"),
        ({"access_level": "owner", "channel_ids": ["C1"]}, "invalid_arguments"),
        ({"access_level": "look", "user_ids": ["UANN1"]}, "invalid_arguments"),
    ],
)
def test_what_access_must_not_be(workspace: Workspace, canvas_id: str, args: dict[str, Any], error: str) -> None:
    assert refused(workspace, "canvases.access.set", canvas_id=canvas_id, **args) == error


def test_a_canvas_of_others_is_read_when_shared_and_written_when_that_is_granted(
    workspace: Workspace, canvas_id: str
) -> None:
    file = workspace.shelf.files[canvas_id]
    file.user_id = "UANN1"
    assert refused(workspace, "canvases.getContent", canvas_id=canvas_id) == "canvas_not_found"
    file.access["C1"] = "read"
    assert call(workspace, "canvases.getContent", canvas_id=canvas_id)["content"].startswith("# Plan")
    change = {"operation": "insert_at_end", "document_content": content("x")}
    assert refused(workspace, "canvases.edit", canvas_id=canvas_id, changes=[change]) == "restricted_action"
    file.access["UBOT1"] = "write"
    assert edit(workspace, canvas_id, **change).endswith("x")


def test_a_channel_has_one_canvas_of_its_own(workspace: Workspace) -> None:
    args = {"channel_id": "C1", "document_content": content("ours")}
    made = call(workspace, "conversations.canvases.create", **args)
    assert workspace.shelf.files[made["canvas_id"]].access == {"C1": "write"}
    assert refused(workspace, "conversations.canvases.create", **args) == "channel_canvas_already_exists"
    assert refused(workspace, "conversations.canvases.create", channel_id="C404") == "channel_not_found"


def test_a_deleted_canvas_is_gone(workspace: Workspace, canvas_id: str) -> None:
    call(workspace, "canvases.delete", canvas_id=canvas_id)
    assert refused(workspace, "canvases.getContent", canvas_id=canvas_id) == "canvas_not_found"
    assert refused(workspace, "files.info", file=canvas_id) == "file_deleted"
    plain = workspace.share_file("UANN1", "C1", "a.txt", b"x").message.files[0]["id"]
    assert refused(workspace, "canvases.delete", canvas_id=plain) == "canvas_not_found"
