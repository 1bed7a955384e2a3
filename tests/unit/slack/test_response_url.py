import aiohttp
import pytest
from bot_fakes import make_connection

from slack_mcp.core.errors import SlackRefusedError
from slack_mcp.slack.response_url import SlackResponseUrls

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.slack.com/commands/T1/1/x",
        "https://hooks.slack.com.evil.example/x",
        "https://evil.example/hooks.slack.com",
        "https://evilhooks.slack.com/x",
        "https://hooks.slack.com@evil.example/x",
        "https://user:pw@hooks.slack.com/x",
        "https://hooks.slack.com:8443/x",
        "https://hooks.slack.com:port/x",
        "https://[::1",
        "https://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:5432/",
        "file:///etc/passwd",
        "//hooks.slack.com/x",
        "",
    ],
)
async def test_an_address_that_is_none_of_slacks_is_refused_before_anything_is_sent(url: str) -> None:
    async with aiohttp.ClientSession(trust_env=False) as session:
        urls = SlackResponseUrls(session=session, base_url="https://slack.com/api/")
        with pytest.raises(SlackRefusedError) as caught:
            await urls.post(make_connection(), url, {"text": "hi"})
    assert caught.value.slack_error == "foreign_address"
    assert "evil" not in str(caught.value)
