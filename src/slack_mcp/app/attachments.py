"""Files in and out of Slack, put together."""

from dataclasses import dataclass

import httpx2

from slack_mcp.agents.transcription import TIMEOUT_S, OpenAiTranscriber
from slack_mcp.attachments.files import SlackAttachments
from slack_mcp.attachments.temp_files import SignedTempFiles
from slack_mcp.core.clock import Clock
from slack_mcp.mesh.transport import MeshTransport
from slack_mcp.mesh.whisper import MeshTranscriber
from slack_mcp.ports.slack import SlackWebs
from slack_mcp.protocol.temp_links import PURPOSE
from slack_mcp.sealing import Sealer
from slack_mcp.settings import Settings
from slack_mcp.store.temp_files import SqlTempFileStore
from slack_mcp.web.temp_files import TempFilePages


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesOfPod:
    """What the pod takes of it.

    Attributes:
        attachments: for the bot.
        pages: give out what is fetched from outside.
    """

    attachments: SlackAttachments
    pages: TempFilePages


def make_attachments(
    settings: Settings,
    *,
    store: SqlTempFileStore,
    sealer: Sealer,
    slack: SlackWebs,
    http: httpx2.AsyncClient,
    clock: Clock,
) -> FilesOfPod:
    """Return it; `http` has the sockets to whoever writes down recordings."""
    keys = sealer.derive_keys(PURPOSE)
    temp_files = SignedTempFiles(
        store=store, clock=clock, public_url=settings.public_url, keys=keys, ttl_s=settings.temp_file_ttl_s
    )
    # What a connection chose comes before what the service has for all.
    mesh = MeshTransport(http=http, timeout_s=TIMEOUT_S)
    hearing = MeshTranscriber(transport=mesh, temp_files=temp_files)
    own = []
    if settings.transcription_model:
        own_url, own_key = settings.transcription_url, settings.transcription_api_key
        own.append(
            OpenAiTranscriber(
                http=http,
                model=settings.transcription_model,
                # A key goes to the server that it was made for, and to no other.
                api_key=own_key or (None if own_url else settings.openai_api_key),
                base_url=own_url or settings.openai_base_url,
            )
        )
    attachments = SlackAttachments(webs=slack, transcribers=[hearing, *own], max_file_bytes=settings.max_file_bytes)
    return FilesOfPod(attachments=attachments, pages=TempFilePages(store=store, keys=keys, clock=clock))
