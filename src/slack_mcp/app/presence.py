"""This process in the list of those that serve: noted while it runs, forgotten when it ends in good order."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import anyio
import structlog

from slack_mcp import __version__
from slack_mcp.core.errors import StoreError
from slack_mcp.core.ids import PodId
from slack_mcp.inbox.repeat import Repeater
from slack_mcp.ports.pods import BEAT_INTERVAL_S, Pods, Presence

FORGET_TIMEOUT_S: Final = 2.0

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_presence(pods: Pods, pod_id: PodId) -> AsyncIterator[tuple[Presence, Repeater]]:
    """Yield (who this process is, the duty that notes it again and again); it is forgotten at the end."""
    presence = Presence(pod_id=pod_id, instance=secrets.token_hex(8), version=__version__)
    try:
        yield presence, Repeater("presence", partial(pods.note, presence), interval_s=BEAT_INTERVAL_S)
    finally:
        # One that cannot say so is found silent.
        with anyio.move_on_after(FORGET_TIMEOUT_S, shield=True):
            try:
                await pods.forget(pod_id)
            except StoreError as error:
                _log.warning("pod.not_forgotten", pod_id=pod_id, code=error.code)
