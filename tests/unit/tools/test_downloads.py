"""Files as Slack alone has them: kept elsewhere, hidden by the plan, with thumbnails."""

from typing import Any

import pytest
from directory_fake import make_connection
from tool_fakes import FakeWeb, make_services

from slack_mcp.core.errors import InvalidInputError, SlackRefusedError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Access
from slack_mcp.core.secret import Secret
from slack_mcp.ports.identity import Credentials, Principal, PrincipalKind
from slack_mcp.ports.slack import SlackFile
from slack_mcp.tools.call import Call
from slack_mcp.tools.caller import Caller
from slack_mcp.tools.downloads import MAX_IMAGE_BYTES, TOOLS, DownloadArguments, DownloadResult

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n"
(TOOL,) = TOOLS


class Files(FakeWeb):
    """A Web API with one file."""

    def __init__(self, file: dict[str, Any], *, content: bytes = b"x", mimetype: str = "text/plain") -> None:
        super().__init__(answers={"files.info": {"ok": True, "file": file}})
        self.content, self.mimetype = content, mimetype
        self.fetched: list[tuple[str, int]] = []

    async def download(self, url: str, *, max_bytes: int) -> SlackFile:
        self.fetched.append((url, max_bytes))
        return SlackFile(content=self.content, mimetype=self.mimetype)


class NoIdentities:
    """Nobody is asked for."""

    async def identify(self, _credentials: Credentials) -> Principal:
        raise AssertionError


async def download(files: Files) -> DownloadResult:
    principal = Principal(
        kind=PrincipalKind.MESH, connection_id=ConnectionId("conn_a"), subject="mesh:u", access=Access.READ
    )
    call = Call(
        services=make_services(slack=files),
        caller=Caller(identities=NoIdentities(), credentials=Credentials(bearer=Secret("t"))),
        tool=TOOL.name,
        access=TOOL.access,
        identity=(principal, make_connection("conn_a")),
    )
    return await TOOL.run(call, DownloadArguments(file_id="F0123456"))


async def test_of_a_large_image_the_largest_thumbnail_is_shown() -> None:
    file = {
        "name": "a.png",
        "mimetype": "image/png",
        "size": MAX_IMAGE_BYTES + 1,
        "url_private": "https://files.slack.com/a",
        "thumb_360": "https://files.slack.com/360",
        "thumb_720": "https://files.slack.com/720",
    }
    files = Files(file, content=PNG, mimetype="image/png")
    result = await download(files)
    assert files.fetched == [("https://files.slack.com/720", MAX_IMAGE_BYTES)]
    assert (result.kind, result.is_thumbnail, result.size) == ("image", True, MAX_IMAGE_BYTES + 1)
    assert "smaller than it is" in result.render_text(DownloadArguments(file_id="F0123456"))
    assert "data" not in result.dump()


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            {"is_external": True, "external_type": "gdrive", "url_private": "https://docs.google.com/x"},
            "outside of Slack",
        ),
        ({"mode": "tombstone"}, "deleted"),
        ({"mode": "hidden_by_limit"}, "deleted, or is older"),
        ({"mode": "list", "filetype": "list"}, "SLACK_LIST_LIST_ITEMS"),
        ({"size": 10_000_001, "url_private": "https://files.slack.com/a"}, "at most 10000000"),
    ],
)
async def test_what_cannot_be_fetched_is_not_asked_for(file: dict[str, Any], expected: str) -> None:
    files = Files(file)
    with pytest.raises(InvalidInputError, match=expected):
        await download(files)
    assert files.fetched == []


async def test_a_page_in_place_of_the_file_is_none() -> None:
    files = Files({"mimetype": "image/png", "url_private": "https://files.slack.com/a"}, mimetype="text/html")
    with pytest.raises(SlackRefusedError, match="file_not_readable"):
        await download(files)


async def test_a_file_of_which_slack_says_little_is_read_all_the_same() -> None:
    files = Files({"url_private_download": "https://files.slack.com/a"})
    assert (await download(files)).dump() == {
        "file_id": "F0123456",
        "name": "F0123456",
        "mimetype": "text/plain",
        "size": 1,
        "kind": "text",
        "text": "x",
    }
