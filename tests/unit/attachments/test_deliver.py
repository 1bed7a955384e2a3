"""An agent's files appear once."""

from collections.abc import Sequence

import pytest
from attachment_fakes import FakeWeb
from directory_fake import make_connection

from slack_mcp.attachments.deliver import MAX_FILES
from slack_mcp.attachments.files import SlackAttachments
from slack_mcp.core.errors import (
    MissingScopeError,
    RateLimitedError,
    SlackMcpError,
    SlackRefusedError,
    SlackUnavailableError,
    TokenRevokedError,
)
from slack_mcp.core.ids import ChannelId, Ts
from slack_mcp.ports.agent import AgentFile

pytestmark = pytest.mark.anyio

UNKNOWN = SlackRefusedError("files.info", "file_not_found")
COMPLETE = "files.completeUploadExternal"


def make_file(name: str = "chart.png", content: bytes = b"canary") -> AgentFile:
    return AgentFile(name=name, mimetype="image/png", content=content)


async def deliver(
    web: FakeWeb, *files: AgentFile, earlier: Sequence[str] = (), remembered: list[str] | None = None
) -> Sequence[str]:
    async def remember(ids: Sequence[str]) -> None:
        assert web.count(COMPLETE) == 0
        if remembered is not None:
            remembered.extend(ids)

    return await SlackAttachments(webs=web, transcribers=[], max_file_bytes=1_000).deliver(
        make_connection(),
        ChannelId("C1"),
        Ts("1.0001"),
        files,
        earlier=earlier,
        remember=remember,
        language="en",
    )


async def test_all_files_appear_together_in_the_thread_and_are_remembered_before() -> None:
    web, remembered = FakeWeb(), list[str]()
    assert await deliver(web, make_file(), make_file("../a`\n.csv", b"1,2"), remembered=remembered) == []
    assert web.sent == {"F1": b"canary", "F2": b"1,2"}
    assert remembered == ["F1", "F2"]
    assert web.calls[-1] == (
        COMPLETE,
        {
            "files": [{"id": "F1", "title": "chart.png"}, {"id": "F2", "title": "a'.csv"}],
            "channel_id": "C1",
            "thread_ts": "1.0001",
        },
    )


async def test_a_second_run_finds_the_files_of_the_first_and_shows_no_others() -> None:
    web, remembered = FakeWeb(unknown=UNKNOWN), list[str]()
    await deliver(web, make_file(), remembered=remembered)
    assert await deliver(web, make_file("another.png"), earlier=["F0", *remembered]) == ()
    assert web.count(COMPLETE) == 1


async def test_a_second_run_shows_them_when_the_first_died_before_they_appeared() -> None:
    web = FakeWeb(unknown=UNKNOWN)
    assert await deliver(web, make_file(), earlier=["F7"]) == []
    assert web.count(COMPLETE) == 1


@pytest.mark.parametrize(
    "error", [SlackRefusedError("files.info", "file_deleted"), MissingScopeError("files.info", "files:read")]
)
async def test_a_file_that_was_deleted_or_cannot_be_looked_up_is_not_shown_again(error: SlackMcpError) -> None:
    web = FakeWeb(unknown=error)
    assert await deliver(web, make_file(), earlier=["F7"]) == ()
    assert web.count(COMPLETE) == 0


@pytest.mark.parametrize("error", [RateLimitedError("files.info", 1), SlackUnavailableError("files.info", "timeout")])
async def test_when_slack_does_not_say_whether_they_are_there_the_run_is_repeated(error: SlackMcpError) -> None:
    with pytest.raises(type(error)):
        await deliver(FakeWeb(unknown=error), make_file(), earlier=["F7"])


@pytest.mark.parametrize("at", ["files.getUploadURLExternal", "upload", COMPLETE])
@pytest.mark.parametrize("error", [SlackRefusedError("files", "no"), RateLimitedError("files", 1)])
async def test_a_file_that_slack_does_not_take_is_one_line(at: str, error: SlackMcpError) -> None:
    web = FakeWeb(refusals={at: error})
    assert await deliver(web, make_file("a.txt")) == ["I made the file `a.txt`, but could not put it into Slack."]


@pytest.mark.parametrize("at", ["files.getUploadURLExternal", "upload", COMPLETE])
async def test_a_revoked_token_ends_it(at: str) -> None:
    with pytest.raises(TokenRevokedError):
        await deliver(FakeWeb(refusals={at: TokenRevokedError(at, "token_revoked")}), make_file())


@pytest.mark.parametrize("is_there", [True, False])
async def test_an_answer_that_is_lost_is_looked_up(is_there: bool) -> None:
    web = FakeWeb(refusals={COMPLETE: SlackUnavailableError(COMPLETE, "timeout")}, unknown=UNKNOWN)
    web.infos |= {"F1": {}} if is_there else {}
    assert len(await deliver(web, make_file())) == (0 if is_there else 1)


async def test_empty_files_large_files_and_too_many_are_told_by_name() -> None:
    web = FakeWeb()
    files = [make_file("empty", b""), make_file("large", bytes(1_001)), *(make_file() for _ in range(MAX_FILES))]
    notes = await deliver(web, *files)
    assert len(web.sent) == MAX_FILES - 2
    assert [note.split("`")[1] for note in notes] == ["chart.png", "chart.png", "empty", "large"]


async def test_nothing_is_done_without_files() -> None:
    web = FakeWeb()
    assert await deliver(web) == []
    assert web.calls == []
