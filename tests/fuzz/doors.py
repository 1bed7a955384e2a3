"""The doors, and what is put through each: a request whose answer is judged."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from fuzz.mutate import CANARY, dump, load_events, mutate_bytes, mutate_json, pick

EVENTS: Final = "/slack/events"
MCP: Final = "/mcp"
_JSON: Final = (b"content-type", b"application/json")
_FORM: Final = (b"content-type", b"application/x-www-form-urlencoded")
_TOOLS: Final = ("SLACK_SEND_MESSAGE", "SLACK_GET_CHANNEL_HISTORY", "SLACK_LIST_CHANNELS", "SYNC_CONFIG_CACHE", CANARY)
_METHODS: Final = ("initialize", "tools/list", "tools/call", "ping", "resources/list", "prompts/get", "server/discover")
_META: Final = "io.modelcontextprotocol/"


class Request(NamedTuple):
    """One request, as ASGI has it.

    Attributes:
        signs: whether it is signed, with the clock's time, before it is sent.
    """

    path: str
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()
    method: str = "POST"
    signs: bool = False


Door = Callable[[random.Random], Request]


class Doors:
    """Makes requests.

    Args:
        key: an API key that opens everything of the one connection.
    """

    def __init__(self, *, key: str) -> None:
        self._key = key.encode()
        self._events = load_events()

    @property
    def all(self) -> Mapping[str, Door]:
        """The doors by name."""
        return {
            "events": self.make_event,
            "shared events": self.make_shared_event,
            "unsigned": self.make_unsigned,
            "commands": self.make_command,
            "interactive": self.make_interaction,
            "mcp, first era": self.make_call,
            "mcp, second era": self.make_stateless_call,
        }

    def make_event(self, chance: random.Random) -> Request:
        """Return a signed delivery whose body may be anything."""
        envelope = chance.choice(self._events)
        # A new id each time: what is known already is only acknowledged.
        envelope = {**envelope, "event_id": f"Ev{chance.getrandbits(64):016X}", "token": CANARY}
        body = pick(
            chance,
            lambda: dump(mutate_json(chance, envelope)),
            lambda: mutate_bytes(chance, dump(mutate_json(chance, envelope, rate=0.02))),
            lambda: chance.randbytes(chance.randrange(200)),
            lambda: b"[" * chance.randrange(5_000),
        )
        retries = [(b"x-slack-retry-num", chance.choice([b"1", b"-1", b"9" * 50, b"\xff", b""]))]
        return Request(f"{EVENTS}/conn_1", body, [_JSON, *retries], signs=True)

    def make_shared_event(self, chance: random.Random) -> Request:
        """Return a delivery to the address without an id, of the known workspace or another one."""
        made = self.make_event(chance)
        return made._replace(path=chance.choice([EVENTS, f"{EVENTS}/", f"{EVENTS}/conn_1/", f"{EVENTS}/{CANARY}"]))

    def make_unsigned(self, chance: random.Random) -> Request:
        """Return a delivery with headers that prove nothing, at any path."""
        made = self.make_event(chance)
        path = chance.choice(
            [f"{EVENTS}/conn_1", EVENTS, "/slack/commands/conn_1", f"{EVENTS}/%00", "/slack/" + "x" * 3_000]
        )
        stamp = chance.choice([b"0", b"", b"9" * 30, b"\xb2", b"1700000000", CANARY.encode()])
        proof = chance.choice([b"v0=" + b"0" * 64, b"v0=", b"\xff" * 67, b"v0=" + b"g" * 64, CANARY.encode()])
        headers = [*made.headers, (b"x-slack-request-timestamp", stamp), (b"x-slack-signature", proof)]
        method = chance.choice(["POST", "POST", "POST", "GET", "PUT", "OPTIONS"])
        return Request(path, made.body, headers, method=method)

    def make_command(self, chance: random.Random) -> Request:
        """Return the signed form of a slash command."""
        fields = {
            "token": CANARY,
            "team_id": "T1",
            "channel_id": "C1",
            "user_id": "U0",
            "command": "/slack-mcp",
            "text": chance.choice(["help", "status", "reset", "", f"nothing {CANARY}"]),
            "api_app_id": "A1",
            "response_url": f"https://hooks.slack.com/commands/{CANARY}",
            "trigger_id": f"1.{chance.getrandbits(40)}",
        }
        return self._make_form(chance, "commands", fields)

    def make_interaction(self, chance: random.Random) -> Request:
        """Return the signed form of a click, a shortcut, or a submitted form."""
        payload = {
            "type": chance.choice(
                ["block_actions", "shortcut", "message_action", "view_submission", "view_closed", ""]
            ),
            "token": CANARY,
            "team": {"id": "T1"},
            "user": {"id": "U0", "team_id": "T1"},
            "api_app_id": "A1",
            "trigger_id": f"1.{chance.getrandbits(40)}",
            "callback_id": chance.choice(["ask", "ask_about_message", CANARY]),
            "channel": {"id": "C1"},
            "message": {"ts": "1700000000.000100", "text": CANARY, "blocks": []},
            "container": {"type": "message", "message_ts": "1700000000.000100", "channel_id": "C1"},
            "actions": [
                {
                    "action_id": chance.choice(["stop", "rate", CANARY]),
                    "block_id": "b",
                    "value": CANARY,
                    "type": "button",
                }
            ],
            "view": {
                "id": "V1",
                "type": "modal",
                "callback_id": CANARY,
                "private_metadata": "{}",
                "state": {"values": {}},
            },
        }
        fields = {"payload": json.dumps(mutate_json(chance, payload))}
        return self._make_form(chance, "interactive", fields)

    def make_call(self, chance: random.Random) -> Request:
        """Return a call of the MCP end point as clients of the first era make it."""
        message = self._make_message(chance)
        headers = [
            self._bearer(chance),
            (b"mcp-protocol-version", chance.choice([b"2025-06-18", b"2024-11-05", b"\xff", b""])),
        ]
        return self._make_mcp(chance, message, headers)

    def make_stateless_call(self, chance: random.Random) -> Request:
        """Return the same, of the second era: the method stands in a header too, and the version in the message."""
        message = self._make_message(chance)
        params = message.get("params")
        if isinstance(params, dict):
            known = {f"{_META}protocolVersion": "2026-07-28", f"{_META}clientCapabilities": {}}
            # Anew, and not written into: what was put in may stand in other inputs too, or in itself.
            message = {**message, "params": {**params, "_meta": mutate_json(chance, known)}}
        method = message.get("method")
        named = (
            method.encode("utf-8", "replace") if isinstance(method, str) and chance.random() < 0.8 else b"tools/list"
        )
        version = chance.choice([b"2026-07-28"] * 6 + [b"1999-01-01"])
        headers = [self._bearer(chance), (b"mcp-method", named), (b"mcp-protocol-version", version)]
        if chance.random() < 0.9:
            headers.append(
                (b"mcp-name", _find_name(message) if chance.random() < 0.8 else chance.choice(_TOOLS).encode())
            )
        return self._make_mcp(chance, message, headers)

    def _make_form(self, chance: random.Random, door: str, fields: Mapping[str, Any]) -> Request:
        chosen = mutate_json(chance, dict(fields))
        pairs = chosen if isinstance(chosen, dict) else {"payload": json.dumps(chosen)}
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in pairs.items()}
        body = urlencode(texts, errors="surrogatepass").encode()
        path = chance.choice([f"/slack/{door}/conn_1", f"/slack/{door}"])
        return Request(path, mutate_bytes(chance, body, times=2), [_FORM], signs=True)

    def _make_message(self, chance: random.Random) -> dict[str, Any]:
        arguments = {"channel": "C1", "text": f"{CANARY} text", "limit": 3}
        params = chance.choice(
            [
                {"name": chance.choice(_TOOLS), "arguments": mutate_json(chance, arguments)},
                {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": CANARY, "version": "1"}},
                {"cursor": CANARY},
                {},
            ]
        )
        message = {
            "jsonrpc": "2.0",
            "id": chance.choice([1, "a", None, 2**70]),
            "method": chance.choice(_METHODS),
            "params": params,
        }
        changed = mutate_json(chance, message, rate=0.04)
        return changed if isinstance(changed, dict) else message

    def _make_mcp(self, chance: random.Random, message: Any, headers: Sequence[tuple[bytes, bytes]]) -> Request:
        body = pick(chance, lambda: dump(message), lambda: dump([message]), lambda: mutate_bytes(chance, dump(message)))
        accept = (b"accept", chance.choice([b"application/json, text/event-stream", b"*/*", b""]))
        method = "POST" if chance.random() < 0.97 else chance.choice(["GET", "DELETE", "PUT"])
        return Request(MCP, body, [_JSON, (b"host", b"127.0.0.1"), accept, *headers], method=method)

    def _bearer(self, chance: random.Random) -> tuple[bytes, bytes]:
        good = b"Bearer " + self._key
        return b"authorization", good if chance.random() < 0.9 else chance.choice(
            [b"Bearer canary", b"", b"\xff", good + b"x"]
        )


def _find_name(message: Mapping[str, Any]) -> bytes:
    """Return the name of the tool that a message calls."""
    params = message.get("params")
    name = params.get("name") if isinstance(params, dict) else None
    return name.encode("utf-8", "replace") if isinstance(name, str) else b""
