"""The way to Valkey: what is lost is found out once, and nobody waits for it."""

import subprocess
import sys

import anyio
import pytest
import structlog
from stepping_clock import SteppingClock
from valkey import ValkeyServer, run_valkey

from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.valkey.client import PAUSE_S, TIMEOUT_S, Valkey, open_valkey
from slack_mcp.valkey.url import ValkeyUrl, parse_valkey_url

pytestmark = pytest.mark.anyio

WITHOUT_CLIENT = """
import os, sys
sys.modules["redis"] = None
sys.argv = ["slack-mcp", "serve"]
from slack_mcp.cli import main
main()
"""


async def ping(valkey: Valkey) -> bool:
    return bool(await valkey.run(lambda redis: redis.ping()))


async def test_a_lost_server_is_asked_once_a_second_and_found_again(valkey_server: ValkeyServer) -> None:
    clock = SteppingClock()
    async with open_valkey(parse_valkey_url(valkey_server.url), clock=clock, prefix="test") as valkey:
        assert await ping(valkey)
        with structlog.testing.capture_logs() as lines:
            valkey_server.stop()
            for _ in range(3):
                with pytest.raises(StoreUnavailableError):
                    await ping(valkey)
            valkey_server.start()
            with pytest.raises(StoreUnavailableError, match="a moment ago"):
                await ping(valkey)
            clock.time_s += PAUSE_S
            assert await ping(valkey)
        assert [line["event"] for line in lines] == ["valkey.lost", "valkey.back"]


async def test_a_server_that_says_nothing_holds_up_one_and_not_the_others(valkey_server: ValkeyServer) -> None:
    async with open_valkey(parse_valkey_url(valkey_server.url), clock=SteppingClock(), prefix="test") as valkey:
        assert await ping(valkey)
        valkey_server.freeze()
        try:
            with anyio.fail_after(TIMEOUT_S * 3):
                with pytest.raises(StoreUnavailableError):
                    await ping(valkey)
            for _ in range(100):
                with pytest.raises(StoreUnavailableError, match="a moment ago"):
                    await ping(valkey)
        finally:
            valkey_server.thaw()


async def test_a_wrong_password_is_a_lost_server_and_is_not_printed() -> None:
    with run_valkey("--requirepass", "right") as server, structlog.testing.capture_logs() as lines:
        for password, is_right in (("right", True), ("canary", False)):
            url = ValkeyUrl(host="127.0.0.1", port=server.port, password=password)
            async with open_valkey(url, clock=SteppingClock(), prefix="test") as valkey:
                if is_right:
                    assert await ping(valkey)
                else:
                    with pytest.raises(StoreUnavailableError) as caught:
                        await ping(valkey)
                    assert "canary" not in str(caught.value)
    assert [line["event"] for line in lines] == ["valkey.lost"]
    assert "canary" not in str(lines)


def test_without_the_extra_the_service_says_what_to_install() -> None:
    run = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", WITHOUT_CLIENT],
        env={"DATABASE_URL": "postgresql://127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 2, run.stderr
    assert "install slack-mcp[valkey], or remove REDIS_URL" in run.stderr
