import json
from typing import Any

import httpx2
import pytest

from slack_mcp.simulator import Simulator, Workspace
from slack_mcp.simulator.file_server import LOGIN_PAGE

pytestmark = pytest.mark.anyio
BOT = {"Authorization": "Bearer xoxb-1"}


async def call(http: httpx2.AsyncClient, method: str, token: str = "xoxb-1", **args: Any) -> dict[str, Any]:
    data = {key: value if isinstance(value, str) else json.dumps(value) for key, value in args.items()}
    answer = await http.post(f"/api/{method}", headers={"Authorization": f"Bearer {token}"}, data=data)
    body: dict[str, Any] = answer.json()
    return body


async def announce(http: httpx2.AsyncClient, content: bytes, **more: Any) -> tuple[str, str]:
    made = await call(http, "files.getUploadURLExternal", filename="notes.txt", length=len(content), **more)
    assert made["ok"], made
    return made["upload_url"], made["file_id"]


async def upload(http: httpx2.AsyncClient, content: bytes = b"hello", **more: Any) -> str:
    url, file_id = await announce(http, content)
    assert (await http.post(url, content=content)).status_code == 200
    done = await call(http, "files.completeUploadExternal", files=[{"id": file_id, "title": "Notes"}], **more)
    assert done["ok"], done
    return file_id


async def test_an_upload_becomes_a_message_whose_ts_only_the_file_tells(
    http: httpx2.AsyncClient, workspace: Workspace
) -> None:
    url, file_id = await announce(http, b"hello")
    assert (await http.post(url, content=b"hello")).text == "OK - 5"
    done = await call(
        http,
        "files.completeUploadExternal",
        files=[{"id": file_id, "title": "Notes"}],
        channel_id="C1",
        initial_comment="look",
    )
    assert done == {"ok": True, "files": [{"id": file_id, "title": "Notes"}]}
    (message,) = workspace.channels["C1"].messages.values()
    assert (message.text, message.files[0]["id"], message.files[0]["size"]) == ("look", file_id, 5)
    file = (await call(http, "files.info", file=file_id))["file"]
    assert (file["mimetype"], file["filetype"], file["title"]) == ("text/plain", "text", "Notes")
    assert file["shares"]["public"]["C1"][0]["ts"] == message.ts
    assert file["channels"] == ["C1"]
    history = await call(http, "conversations.history", channel="C1")
    assert history["messages"][0]["files"][0]["id"] == file_id


async def test_a_shared_file_is_an_event_with_its_subtype_and_files(workspace: Workspace) -> None:
    posted = workspace.share_file("UANN1", "C1", "plan.pdf", b"%PDF", text="<@UBOT1> read this")
    mention, message = (each["event"] for each in posted.envelopes)
    assert (mention["type"], message["subtype"]) == ("app_mention", "file_share")
    assert "subtype" not in mention
    assert message["files"][0]["mimetype"] == "application/pdf"
    assert message["files"] == mention["files"]


async def test_several_files_and_channels_and_a_thread_in_one_completion(
    http: httpx2.AsyncClient, workspace: Workspace
) -> None:
    workspace.add_channel("C9", "second")
    ids = []
    for content in (b"one", b"two!"):
        url, file_id = await announce(http, content)
        await http.post(url, content=content)
        ids.append(file_id)
    root = workspace.say("UANN1", "C1", "root").message
    files = [{"id": each} for each in ids]
    done = await call(http, "files.completeUploadExternal", files=files, channels="C1,C9", thread_ts=root.ts)
    assert [each["title"] for each in done["files"]] == ["notes.txt", "notes.txt"]
    (reply,) = workspace.channels["C1"].threads[root.ts]
    assert [each["id"] for each in reply.files] == ids
    assert len(workspace.channels["C9"].messages) == 1


async def test_a_multipart_upload_is_taken_too(http: httpx2.AsyncClient, workspace: Workspace) -> None:
    content = bytes(range(256))
    url, file_id = await announce(http, content)
    assert (await http.post(url, files={"filename": ("notes.txt", content)})).status_code == 200
    assert workspace.shelf.uploads[file_id].content == content


@pytest.mark.parametrize("sent", [b"hell", b"hello!", b""])
async def test_bytes_of_another_length_are_refused(http: httpx2.AsyncClient, sent: bytes) -> None:
    url, file_id = await announce(http, b"hello")
    assert (await http.post(url, content=sent)).status_code == 400
    assert (await http.post(url, data={"no": "file"}, files={"x": ("", sent)})).status_code == 400
    done = await call(http, "files.completeUploadExternal", files=[{"id": file_id}])
    assert done["error"] == "file_not_found"


async def test_an_upload_url_is_good_once_and_a_completion_too(http: httpx2.AsyncClient) -> None:
    url, file_id = await announce(http, b"hello")
    assert (await http.post(url, content=b"hello")).status_code == 200
    assert (await http.post(url, content=b"hello")).status_code == 404
    assert (await http.post("/upload/v1/made-up", content=b"hello")).status_code == 404
    files = [{"id": file_id}]
    assert (await call(http, "files.completeUploadExternal", files=files))["ok"]
    assert (await call(http, "files.completeUploadExternal", files=files))["error"] == "file_not_found"


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({"length": "5"}, "missing_argument"),
        ({"filename": "a.txt"}, "missing_argument"),
        ({"filename": "a.txt", "length": "0"}, "missing_argument"),
        ({"filename": "a.txt", "length": "many"}, "invalid_arguments"),
        ({"filename": "a.png", "length": "5", "alt_txt": "x" * 1001}, "alt_txt_too_large"),
        ({"filename": "a.py", "length": "1048577", "snippet_type": "python"}, "snippet_too_large"),
    ],
)
async def test_what_an_announcement_must_not_be(http: httpx2.AsyncClient, args: dict[str, str], error: str) -> None:
    assert (await call(http, "files.getUploadURLExternal", **args))["error"] == error


async def test_an_announcement_takes_no_json(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/api/files.getUploadURLExternal", headers=BOT, json={"filename": "a", "length": 1})
    assert answer.json()["error"] == "invalid_arguments"
    query = {"filename": "a.txt", "length": "1"}
    assert (await http.get("/api/files.getUploadURLExternal", headers=BOT, params=query)).json()["ok"]


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({}, "invalid_arguments"),
        ({"files": "[]"}, "invalid_arguments"),
        ({"files": '["F1"]'}, "invalid_arguments"),
        ({"files": '[{"id": "F1"}]'}, "file_not_found"),
    ],
)
async def test_what_a_completion_must_not_be(http: httpx2.AsyncClient, args: dict[str, str], error: str) -> None:
    assert (await call(http, "files.completeUploadExternal", **args))["error"] == error


async def test_files_are_shared_only_where_the_bot_is(http: httpx2.AsyncClient, workspace: Workspace) -> None:
    workspace.add_channel("C9", "theirs", members=["UANN1"])
    url, file_id = await announce(http, b"hello")
    await http.post(url, content=b"hello")
    files = [{"id": file_id}]
    for channel, error in (("C9", "not_in_channel"), ("C404", "channel_not_found")):
        done = await call(http, "files.completeUploadExternal", files=files, channel_id=channel)
        assert done["error"] == error
    assert (await call(http, "files.completeUploadExternal", files=files, channel_id="C1"))["ok"]


async def test_a_download_takes_the_token_of_the_workspace_and_shows_anybody_else_a_login_page(
    http: httpx2.AsyncClient, workspace: Workspace
) -> None:
    shared = workspace.share_file("UANN1", "C1", "a b/ü.bin", b"\x00\xff", mimetype="application/x-thing")
    file = shared.message.files[0]
    got = await http.get(file["url_private"], headers=BOT)
    assert (got.content, got.headers["content-type"]) == (b"\x00\xff", "application/x-thing")
    got = await http.get(file["url_private_download"], headers=BOT)
    assert (got.content, got.headers["content-disposition"]) == (b"\x00\xff", "attachment")
    for headers in ({}, {"Authorization": "Bearer xoxb-2"}, {"Authorization": "Basic xoxb-1"}):
        refused = await http.get(file["url_private"], headers=headers)
        assert (refused.status_code, refused.text) == (200, LOGIN_PAGE)
    gone = await http.get("/files-pri/T1-F404/x", headers=BOT)
    assert gone.text == LOGIN_PAGE
    workspace.scopes = "chat:write"
    assert (await http.get(file["url_private"], headers=BOT)).text == LOGIN_PAGE


async def test_a_download_can_be_made_to_redirect(http: httpx2.AsyncClient, workspace: Workspace) -> None:
    file = workspace.share_file("UANN1", "C1", "a.txt", b"x").message.files[0]
    workspace.shelf.files[file["id"]].redirect_to = "https://elsewhere.example.com/steal"
    answer = await http.get(file["url_private"], headers=BOT)
    assert (answer.status_code, answer.headers["location"]) == (302, "https://elsewhere.example.com/steal")


async def test_a_file_can_be_made_to_lie_about_itself(http: httpx2.AsyncClient, workspace: Workspace) -> None:
    file = workspace.share_file(
        "UANN1", "C1", "a.png", b"<html>", declared_bytes=2 * 1024**3, served_type="text/html"
    ).message.files[0]
    assert (file["size"], file["mimetype"]) == (2 * 1024**3, "image/png")
    answer = await http.get(file["url_private"], headers=BOT)
    assert (answer.content, answer.headers["content-type"]) == (b"<html>", "text/html")
    page = workspace.share_file("UANN1", "C1", "b.png", b"x", is_login_page=True).message.files[0]
    assert (await http.get(page["url_private"], headers=BOT)).text == LOGIN_PAGE
    moved = workspace.share_file("UANN1", "C1", "c.png", b"x", redirect_to="https://evil.example/").message.files[0]
    assert (await http.get(moved["url_private"], headers=BOT)).status_code == 302
    slow = workspace.share_file("UANN1", "C1", "d.txt", b"x" * 40_000, pause_s=0.001).message.files[0]
    dripped = await http.get(slow["url_private"], headers=BOT)
    assert dripped.content == b"x" * 40_000
    assert "content-length" not in dripped.headers
    with pytest.raises(TypeError):
        workspace.share_file("UANN1", "C1", "e.txt", b"x", is_evil=True)


async def test_files_of_private_channels_are_for_their_members(http: httpx2.AsyncClient, workspace: Workspace) -> None:
    workspace.add_channel("G9", kind="group", members=["UANN1"])
    file = workspace.share_file("UANN1", "G9", "secret.txt", b"x").message.files[0]
    assert (await call(http, "files.info", file=file["id"]))["error"] == "file_not_found"
    assert (await call(http, "files.list"))["files"] == []
    assert (await http.get(file["url_private"], headers=BOT)).text == LOGIN_PAGE
    workspace.channels["G9"].members.add("UBOT1")
    found = await call(http, "files.info", file=file["id"])
    assert list(found["file"]["shares"]) == ["private"]
    assert (await http.get(file["url_private"], headers=BOT)).content == b"x"


async def test_a_list_of_files_is_filtered_and_comes_in_pages(
    http: httpx2.AsyncClient, workspace: Workspace, clock: Any
) -> None:
    start_s = int(clock.time_s)
    for name in ("a.png", "b.pdf", "c.txt"):
        workspace.share_file("UANN1", "C1", name, b"x")
        clock.time_s += 10
    mine = await upload(http)
    listed = await call(http, "files.list", count=3, page=1)
    assert [each["name"] for each in listed["files"]] == ["notes.txt", "c.txt", "b.pdf"]
    assert listed["paging"] == {"count": 3, "total": 4, "page": 1, "pages": 2}
    rest = await call(http, "files.list", count=3, page=2)
    assert [each["name"] for each in rest["files"]] == ["a.png"]
    for args, names in (
        ({"types": "images,pdfs"}, ["b.pdf", "a.png"]),
        ({"user": "UBOT1"}, ["notes.txt"]),
        ({"channel": "C1"}, ["c.txt", "b.pdf", "a.png"]),
        ({"ts_from": str(start_s + 10), "ts_to": f"{start_s + 20}.5"}, ["c.txt", "b.pdf"]),
        ({"types": "zips"}, []),
    ):
        found = await call(http, "files.list", **args)
        assert [each["name"] for each in found["files"]] == names
    assert (await call(http, "files.list", types="songs"))["error"] == "unknown_type"
    assert (await call(http, "files.list", channel="C404"))["error"] == "channel_not_found"
    assert mine in workspace.shelf.files


async def test_own_files_can_be_deleted_and_leave_a_tombstone(http: httpx2.AsyncClient, workspace: Workspace) -> None:
    mine = await upload(http, channel_id="C1")
    theirs = workspace.share_file("UANN1", "C1", "a.txt", b"x").message.files[0]
    assert (await call(http, "files.delete", file=theirs["id"]))["error"] == "cant_delete_file"
    assert (await call(http, "files.delete", file="F404"))["error"] == "file_not_found"
    assert (await call(http, "files.delete", file=mine))["ok"]
    assert (await call(http, "files.delete", file=mine))["error"] == "file_deleted"
    assert (await call(http, "files.info", file=mine))["error"] == "file_deleted"
    first = next(iter(workspace.channels["C1"].messages.values()))
    assert first.files == [{"id": mine, "mode": "tombstone"}]


async def test_a_file_shared_twice_is_in_its_channel_once(http: httpx2.AsyncClient, workspace: Workspace) -> None:
    mine = await upload(http, channel_id="C1")
    workspace.post(workspace.channels["C1"], "again", files=[workspace.shelf.files[mine]])
    file = (await call(http, "files.info", file=mine))["file"]
    assert file["channels"] == ["C1"]
    assert len(file["shares"]["public"]["C1"]) == 2
    workspace.delete(next(iter(workspace.channels["C1"].messages.values())))
    assert (await call(http, "files.delete", file=mine))["ok"]
    (left,) = workspace.channels["C1"].messages.values()
    assert left.files[0]["mode"] == "tombstone"


async def test_a_file_of_one_workspace_is_unknown_in_the_other(
    http: httpx2.AsyncClient, workspace: Workspace, simulator: Simulator
) -> None:
    file = workspace.share_file("UANN1", "C1", "a.txt", b"x").message.files[0]
    assert (await call(http, "files.info", token="xoxb-2", file=file["id"]))["error"] == "file_not_found"
    url, file_id = await announce(http, b"hello")
    await http.post(url, content=b"hello")
    done = await call(http, "files.completeUploadExternal", token="xoxb-2", files=[{"id": file_id}])
    assert done["error"] == "file_not_found"
    assert simulator.workspaces["T2"].shelf.files == {}


async def test_a_missing_scope_is_named(http: httpx2.AsyncClient, workspace: Workspace) -> None:
    workspace.scopes = "files:read"
    answer = await call(http, "files.getUploadURLExternal", filename="a", length=1)
    assert (answer["error"], answer["needed"]) == ("missing_scope", "files:write")


async def test_nobody_shares_a_file_where_they_cannot(workspace: Workspace) -> None:
    with pytest.raises(Exception, match="channel_not_found"):
        workspace.share_file("UANN1", "C404", "a.txt", b"x")
    with pytest.raises(Exception, match="user_not_found"):
        workspace.share_file("U404", "C1", "a.txt", b"x")
    assert workspace.shelf.files == {}
