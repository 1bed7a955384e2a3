import httpx2
import pytest
from starlette.applications import Starlette

from slack_mcp.core.secret import Secret
from slack_mcp.web.metrics import MetricsPage

pytestmark = pytest.mark.anyio

TOKEN = "canary-metrics-token-0123456789"


async def get(token: str | None, authorization: str | None = None) -> httpx2.Response:
    async def collect() -> bytes:
        return b"figures\n"

    page = MetricsPage(
        collect, content_type="text/plain; version=0.0.4", token=None if token is None else Secret(token)
    )
    transport = httpx2.ASGITransport(app=Starlette(routes=page.routes()))
    headers = [] if authorization is None else [(b"Authorization", authorization.encode())]
    async with httpx2.AsyncClient(transport=transport, base_url="http://pod") as http:
        return await http.get("/metrics", headers=headers)


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Bearer  {TOKEN} "])
async def test_who_shows_the_token_gets_the_figures(authorization: str) -> None:
    answer = await get(TOKEN, authorization)
    assert (answer.status_code, answer.text) == (200, "figures\n")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer café"]
)
async def test_a_stranger_gets_none(authorization: str | None) -> None:
    answer = await get(TOKEN, authorization)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "figures" not in answer.text
    assert TOKEN not in answer.text


@pytest.mark.parametrize("authorization", [None, "Bearer ", f"Bearer {TOKEN}"])
async def test_without_a_token_nobody_reads_it(authorization: str | None) -> None:
    answer = await get(None, authorization)
    assert answer.status_code == 403
    assert "METRICS_TOKEN" in answer.json()["message"]
