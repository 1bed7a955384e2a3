"""The public address: whether it is one, and whether it leads to a pod of this database."""

import ipaddress
import json
import secrets
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import anyio
import httpx2

from slack_mcp.core.model import Connection
from slack_mcp.doctor.deployment import Deployment
from slack_mcp.doctor.finding import Check, Finding, fail, good, warn
from slack_mcp.ports.pods import SeenPod
from slack_mcp.protocol.signature import SigningKey
from slack_mcp.settings import Settings
from slack_mcp.web.intake import INSTANCE_HEADER

OK: Final = 200
MAX_ANSWER_BYTES: Final = 65_536

_SOMETHING_ELSE: Final = "Something else answers: let the load balancer pass POST /slack/* on to the pods unchanged."
_REFUSALS: Final = {
    401: (
        "refuses this connection's signature",
        "Does it lead to another deployment, with another secret? Otherwise compare the clocks.",
    ),
    404: ("knows no such connection", "Let the load balancer pass POST /slack/* on to the pods of this database."),
}


async def check_address(settings: Settings) -> Sequence[Finding]:
    """Find out whether the public address can be one that Slack reaches."""
    url = settings.public_url
    if url is None:
        remedy = "Set PUBLIC_URL to the https:// address under which Slack and people's clients reach this service."
        return [warn(Check.PUBLIC_URL, "PUBLIC_URL is not set.", remedy)]
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        addresses = sorted({str(info[4][0]) for info in await anyio.getaddrinfo(host, parts.port or 443)})
    except OSError:
        return [fail(Check.PUBLIC_URL, f"{host} does not resolve.", "Mend PUBLIC_URL, or the name's DNS record.")]
    found = f"{url} leads to {', '.join(addresses)}."
    if parts.scheme != "https":
        return [fail(Check.PUBLIC_URL, f"{found} It is not https://.", "Slack takes https:// alone: end TLS in front.")]
    if not any(ipaddress.ip_address(each.partition("%")[0]).is_global for each in addresses):
        remedy = "Nothing, if this machine resolves the name to the inside; Slack needs a public address."
        return [warn(Check.PUBLIC_URL, f"{found} None of these is public.", remedy)]
    return [good(Check.PUBLIC_URL, found)]


async def check_webhook(deployment: Deployment, connection: Connection) -> Sequence[Finding]:
    """Do what Slack does when the Request URL is saved, and find out who answers.

    Source: https://docs.slack.dev/reference/events/url_verification.
    """
    url = deployment.settings.public_url
    whose = connection.connection_id
    if url is None or not connection.signing_secret:
        return []
    challenge = secrets.token_hex(16)
    body = json.dumps({"type": "url_verification", "token": "", "challenge": challenge}).encode()
    timestamp = str(int(deployment.clock.now_s())).encode()
    signature = SigningKey(connection.signing_secret.reveal().encode()).render_signature(timestamp, body)
    headers = {
        "content-type": "application/json",
        "x-slack-request-timestamp": timestamp.decode(),
        "x-slack-signature": signature.decode(),
    }
    address = f"{url.rstrip('/')}/slack/events/{whose}"
    try:
        status, instance, answer = await _post(deployment.http, address, headers=headers, body=body)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        remedy = "Look at DNS, the load balancer and its certificate; and whether this machine may reach it."
        return [
            fail(Check.WEBHOOK, f"{address} cannot be reached ({type(error).__name__}).", remedy, connection_id=whose)
        ]
    if status == OK and answer.decode("utf-8", "replace") == challenge:
        return [_judge_instance(connection, address, instance, await deployment.pods.list_pods())]
    found, remedy = _REFUSALS.get(status, (f"answers {status}, without the challenge", _SOMETHING_ELSE))
    return [fail(Check.WEBHOOK, f"{address} {found}.", remedy, connection_id=whose)]


def _judge_instance(connection: Connection, address: str, instance: str, seen: Sequence[SeenPod]) -> Finding:
    """Return what to think of the pod that answered."""
    whose = connection.connection_id
    pods = {each.presence.instance: each.presence.pod_id for each in seen}
    if not instance:
        remedy = "It is a pod of an earlier version, or a proxy drops its headers: let the deployment end."
        return warn(Check.WEBHOOK, f"{address} answers, and does not say which pod did.", remedy, connection_id=whose)
    if instance not in pods:
        remedy = "Point PUBLIC_URL, or DATABASE_URL of this command, at the same deployment."
        return fail(Check.WEBHOOK, f"{address} leads to a pod of another database.", remedy, connection_id=whose)
    return good(Check.WEBHOOK, f"{address} leads to pod {pods[instance]}.", connection_id=whose)


async def _post(
    http: httpx2.AsyncClient, address: str, *, headers: dict[str, str], body: bytes
) -> tuple[int, str, bytes]:
    """Return (status, the instance that answered, the beginning of the body)."""
    answer = b""
    async with http.stream("POST", address, content=body, headers=headers) as response:
        async for chunk in response.aiter_bytes():
            answer += chunk
            if len(answer) > MAX_ANSWER_BYTES:
                break
        return response.status_code, response.headers.get(INSTANCE_HEADER.decode(), ""), answer
