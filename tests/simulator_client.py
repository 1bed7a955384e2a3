"""Calls of a simulator's Web API with one token, for tests."""

from typing import Any

import httpx2

from slack_mcp.simulator import Workspace

Json = dict[str, Any]


def make_plain_workspace(number: int = 1, **changes: Any) -> Workspace:
    """Return a workspace with one person and one channel, whose ids and secrets end in its number."""
    values: dict[str, Any] = {
        "team_id": f"T{number}",
        "bot_token": f"xoxb-{number}",
        "signing_secret": f"secret-{number}",
        "app_id": f"A{number}",
        "bot_user_id": f"UBOT{number}",
    }
    workspace = Workspace(**(values | changes))
    workspace.add_user(f"UANN{number}", "ann")
    workspace.add_channel(f"C{number}", "general")
    return workspace


class SimulatorClient:
    """Calls methods with JSON arguments and one token."""

    def __init__(self, http: httpx2.AsyncClient, token: str) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"}

    async def answer(self, method: str, **args: Any) -> Json:
        """Return the whole answer."""
        response = await self._http.post(f"/api/{method}", json=args, headers=self._headers)
        assert response.status_code == 200
        body: Json = response.json()
        return body

    async def control(self, what: str, **body: Any) -> Json:
        """Return the answer of the control API to a POST that must succeed."""
        response = await self._http.post(f"/control/{what}", json=body)
        assert response.status_code == 200, response.text
        answer: Json = response.json()
        return answer

    async def call(self, method: str, **args: Any) -> Json:
        """Return the answer of a call that must succeed."""
        body = await self.answer(method, **args)
        assert body["ok"], body
        return body

    async def refusal(self, method: str, **args: Any) -> str:
        """Return the error code of a call that must be refused."""
        body = await self.answer(method, **args)
        assert not body["ok"], body
        return str(body["error"])
