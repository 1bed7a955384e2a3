"""Keeps other web pages away from a simulator that runs on someone's machine.

A browser will send requests to loopback for any page, and DNS rebinding gives such a page our answers too:
https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
"""

import ipaddress

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

GUARDED = ("/demo/", "/control/")


class Guard:
    """ASGI middleware: loopback Host names only; /demo/ and /control/ for our own page and for programs only."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request or hand it on."""
        if scope["type"] == "http":
            refusal = check_request(scope["method"], scope["path"], Headers(scope=scope))
            if refusal is not None:
                status, text = refusal
                await PlainTextResponse(text, status_code=status)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def check_request(method: str, path: str, headers: Headers) -> tuple[int, str] | None:
    """Return the status and text of a refusal; None when the request may go on. Pure."""
    host = headers.get("host", "")
    if not is_loopback_host(host):
        return 421, "this address answers on loopback names only"
    if not path.startswith(GUARDED):
        return None
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return 403, "not from another site"
    if headers.get("origin", f"http://{host}") != f"http://{host}":
        return 403, "not from another origin"
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if method != "GET" and content_type != "application/json":
        return 415, "Content-Type must be application/json"
    return None


def is_loopback_host(host: str) -> bool:
    """Whether a Host header names this machine: localhost, 127.0.0.0/8 or [::1], with any port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
