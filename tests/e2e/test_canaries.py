"""Secrets are put wherever one can be, a tour of successes and failures is made, and every output is searched."""

import base64
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlencode

import anyio
import asyncpg
import httpx2
import pytest
from fake_mesh import FakeMesh
from fake_openai import FakeOpenAi
from processes import Fleet, PodProcess, make_connection, make_workspace, open_fleet, open_http

from slack_mcp.app import open_admin
from slack_mcp.core.secret import Secret
from slack_mcp.simulator import Simulator, Workspace, serve, sign
from slack_mcp.simulator.faults import Fault
from slack_mcp.simulator.server import serve_app

pytestmark = pytest.mark.anyio

CANARY = "canary"
# What fakes answer with, and what servers of models do quote.
QUOTED = "SECRET QUESTION"
KEY = base64.b64encode(b"canary-key-canary-key-canary-key").decode()
MESH_SECRET = "canary-mesh-secret-canary-mesh-secret"
WORDS = (CANARY, QUOTED, KEY, KEY.rstrip("="))
WAIT_S = 120
ENDS = ("turn.finished", "turn.given_up", "event.failed")
MCP_HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


@dataclass(kw_only=True)
class Search:
    """Everything that came out, by where."""

    outputs: dict[str, str] = field(default_factory=dict)
    words: set[str] = field(default_factory=lambda: set(WORDS))

    def keep(self, where: str, text: str) -> str:
        self.outputs[f"{where} #{len(self.outputs)}"] = text
        return text

    def find(self) -> list[tuple[str, str]]:
        """Return (where, a piece) for each word that came out."""
        found = []
        for where, text in self.outputs.items():
            for word in self.words:
                place = text.find(word)
                if place >= 0:
                    found.append((where, text[max(0, place - 80) : place + 80]))
        return found


@dataclass(kw_only=True)
class Tour:
    simulator: Simulator
    workspace: Workspace
    model: FakeOpenAi
    mesh: FakeMesh
    fleet: Fleet
    pod: PodProcess
    http: httpx2.AsyncClient
    search: Search
    directory: Path

    async def run(self, *arguments: str, environ: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Run a command with the service's settings; what it prints is searched."""
        with anyio.fail_after(WAIT_S):
            done = await anyio.run_process(
                [sys.executable, "-m", "slack_mcp", *arguments],
                cwd=self.directory,
                env={**os.environ, **self.fleet.environ, **(environ or {})},
                check=False,
            )
        text = done.stdout.decode() + done.stderr.decode()
        self.search.keep(f"slack-mcp {' '.join(arguments)}", text)
        return done.returncode, text

    async def ask(self, text: str, *, answer: str) -> str:
        """Let a person mention the bot, wait for what it says, and return the question's ts."""
        posted = self.simulator.say("T1", "U0", "C1", f"<@UBOT> {text}")
        await self.simulator.wait_for_answer("T1", "C1", posted.message.ts, text=answer, timeout_s=WAIT_S)
        return posted.message.ts

    async def say_and_wait(self, text: str) -> None:
        """Let a person mention the bot, and wait until a try to answer has ended, well or not."""
        before = len(self.pod.lines)
        self.simulator.say("T1", "U0", "C1", f"<@UBOT> {text}")
        await self.pod.wait_until(lambda: any(self.pod.find(event, before) for event in ENDS))

    async def post(self, path: str, body: bytes, *, status: int, **headers: str) -> None:
        """Post to the pod and keep what it says."""
        answer = await self.http.post(self.pod.url + path, content=body, headers=headers)
        self.search.keep(path, f"{answer.headers}\n{answer.text}")
        assert answer.status_code == status, (path, answer.status_code, answer.text)

    def sign(self, body: bytes) -> dict[str, str]:
        return sign(body, self.workspace.signing_secret, int(self.simulator.clock.now_s()))

    async def call(
        self, method: str, params: Mapping[str, object], headers: Mapping[str, str], *, status: int = 200
    ) -> str:
        """Call the MCP end point as a client of the first era does."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = await self.http.post(f"{self.pod.url}/mcp", json=body, headers={**MCP_HEADERS, **headers})
        assert answer.status_code == status, (answer.status_code, answer.text)
        return answer.text


@asynccontextmanager
async def open_tour(directory: Path, database_url: str) -> AsyncIterator[Tour]:
    workspace = make_workspace()
    workspace.add_user_token("U0", f"xoxp-{CANARY}-user")
    simulator = Simulator(workspace, time_scale=0.001)
    model, mesh = FakeOpenAi(), FakeMesh(secret=MESH_SECRET)
    keys = directory / "keys"
    keys.write_text(f"k1:{KEY}\n")
    async with (
        serve(simulator) as address,
        serve_app(model.app) as model_url,
        serve_app(mesh.app) as mesh.url,
        open_http() as http,
        open_fleet(
            directory,
            database_url=database_url.replace("postgres@/", f"postgres:{CANARY}-password@/"),
            slack_api_url=address.api_url,
            LOG_LEVEL="debug",
            ENCRYPTION_KEYS_FILE=str(keys),
            AUTH_TOKEN=f"{CANARY}-auth-token-that-is-long-enough",
            AUTH_HEADER="x-door",
            MESH_JWT_SECRET=MESH_SECRET,
            MESH_ALLOWED_URLS=mesh.url,
            DEFAULT_AGENT="openai",
            OPENAI_API_KEY=f"{CANARY}-openai-key",
            OPENAI_BASE_URL=f"{model_url}/v1",
            OPENAI_MODEL="m",
            TRANSCRIPTION_API_KEY=f"{CANARY}-transcription-key",
            TRANSCRIPTION_MODEL="w",
            TRANSCRIPTION_URL=f"{model_url}/v1/nowhere",
            SLACK_SIGNING_SECRET=f"{CANARY}-shared-secret",
            SOMEBODY_ELSES_PASSWORD=f"{CANARY}-environment",
            SLACK_MCP_RETRY_BASE_S="0.01",
            SLACK_MCP_RETRY_MAX_ATTEMPTS="2",
            PYTHONFAULTHANDLER="1",
        ) as fleet,
    ):
        connection = replace(
            make_connection(workspace),
            user_token=Secret(f"xoxp-{CANARY}-user"),
            mesh_token=Secret(f"{CANARY}-mesh-token"),
            mesh_api_key=Secret(f"{CANARY}-mesh-key"),
            system_prompt="Answer.",
        )
        async with open_admin(fleet.settings) as admin:
            await admin.saver.save(connection)
        (pod,) = await fleet.add()
        simulator.deliverer.targets = [pod.url]
        yield Tour(
            simulator=simulator,
            workspace=workspace,
            model=model,
            mesh=mesh,
            fleet=fleet,
            pod=pod,
            http=http,
            search=Search(),
            directory=directory,
        )


async def test_no_secret_and_no_text_comes_out_of_a_tour_of_successes_and_failures(
    postgres_url: str, tmp_path: Path
) -> None:
    with anyio.fail_after(600):
        async with open_tour(tmp_path, postgres_url) as tour:
            for part in (speak, deliver, call_tools, look, lose_the_database, end_badly):
                await part(tour)
            tour.search.keep("the pod's log", tour.pod.raw)
            await read_database(tour, postgres_url)
    assert tour.pod.find("turn.finished")
    assert tour.pod.find("delivery.refused")
    assert len(tour.search.outputs) > 50
    assert tour.search.find() == []


async def speak(tour: Tour) -> None:
    """Questions with and without a file, answered, refused, broken off and crashed on."""
    said = f"{CANARY}-question"
    tour.simulator.gestures.share(
        "T1", "U0", "C1", "plan.txt", f"{CANARY}-content".encode(), text=f"<@UBOT> {said} one"
    )
    await tour.pod.wait_until(lambda: bool(tour.pod.find("turn.finished")))
    link_ts = await tour.ask(f"{said} two", answer=f"{said} two")
    for script in ("400", "401", "500", "dies", "429-quota"):
        await tour.say_and_wait(f"[[{script}]] {said}")
    for error in ("invalid_auth", "channel_not_found", "internal_error"):
        tour.simulator.faults.add(
            Fault(method="*", error=error, times=None, when=lambda call: call.method.startswith("chat."))
        )
        await tour.say_and_wait(f"{said} {error}")
        tour.simulator.faults.clear()
    code, text = await tour.run("why", f"https://acme.slack.com/archives/C1/p{link_ts.replace('.', '')}")
    assert (code, "received and journalled" in text) == (0, True)


async def deliver(tour: Tour) -> None:
    """What comes to the doors that Slack knocks at, well made or not."""
    message = {
        "type": "message",
        "channel": "C1",
        "user": "U0",
        "ts": "1700000000.000100",
        "text": f"{CANARY}-delivered",
    }
    event = {"type": "event_callback", "team_id": "T1", "event_id": "EvC", "event": message}
    envelope = json.dumps({**event, "token": f"{CANARY}-verification"}).encode()
    good = {"content-type": "application/json"}
    path = "/slack/events/conn_1"
    await tour.post(path, envelope, status=200, **good, **tour.sign(envelope))
    await tour.post(path, envelope, status=401, **good, **tour.sign(envelope + b" "))
    await tour.post(path, envelope, status=401, **good, **{"x-slack-signature": f"v0={CANARY}"})
    garbage = f'{{"{CANARY}": "{CANARY}"'.encode()
    await tour.post(path, garbage, status=400, **good, **tour.sign(garbage))
    await tour.post("/slack/events", envelope, status=401, **good, **tour.sign(envelope + b" "))
    await tour.post("/slack/events/nobody", envelope, status=404, **good, **tour.sign(envelope))
    large = CANARY.encode() * 400_000
    await tour.post(path, large, status=413, **good, **tour.sign(large))
    form = {"content-type": "application/x-www-form-urlencoded"}
    for fields in (
        {"command": "/ask", "text": f"{CANARY}-command", "team_id": "T1", "user_id": "U0", "channel_id": "C1"},
        {"payload": json.dumps({"type": "block_actions", "token": CANARY, "team": {"id": "T1"}})},
        {"payload": f"{{{CANARY}"},
        {CANARY: CANARY},
    ):
        body = urlencode(fields).encode()
        for door in ("/slack/commands/conn_1", "/slack/interactive/conn_1"):
            answer = await tour.http.post(tour.pod.url + door, content=body, headers={**form, **tour.sign(body)})
            tour.search.keep(door, f"{answer.headers}\n{answer.text}")
            assert answer.status_code < 500
            await tour.post(door, body, status=401, **form, **tour.sign(body + b"&"))


async def call_tools(tour: Tour) -> None:
    """Calls with every kind of credential, and arguments that do not fit."""
    code, made = await tour.run("keys", "create", "--connection", "conn_1", "--name", "tour", "--access", "admin")
    assert code == 0
    # It is printed this once: nothing else may have it.
    key = made.splitlines()[0].strip()
    tour.search.outputs.popitem()
    tour.search.words.add(key)
    bearer = {"authorization": f"Bearer {key}"}
    told = await tour.call(
        "tools/call",
        {"name": "SLACK_SEND_MESSAGE", "arguments": {"channel": "#general", "text": f"{CANARY}-sent"}},
        bearer,
    )
    assert '"isError":true' not in told.replace(" ", ""), told
    for arguments in (
        {"channel": "C404", "text": f"{CANARY}-sent"},
        {"channel": 5, "text": [f"{CANARY}-list"]},
        {"channel": "C1", "text": f"{CANARY}" * 10_000},
        {"channel": "C1", "text": f"{CANARY}-sent", "colour": f"{CANARY}-value"},
    ):
        text = await tour.call("tools/call", {"name": "SLACK_SEND_MESSAGE", "arguments": arguments}, bearer)
        tour.search.keep("tools/call", text)
    for headers in (
        {},
        {"authorization": f"Bearer smk_{CANARY}"},
        {"authorization": f"Bearer {CANARY}-token"},
        {"x-mesh-token": f"{CANARY}.{CANARY}.{CANARY}"},
        {"x-door": f"{CANARY}-wrong"},
    ):
        tour.search.keep("tools/list", await tour.call("tools/list", {}, headers, status=401))
    state = {"SLACK_CREDENTIALS": {"BOT_TOKEN": f"xoxb-{CANARY}-other", "SIGNING_SECRET": f"{CANARY}-other"}}
    token = tour.mesh.mint_token("conn_mesh", metadata={"state": state})
    saved = {"name": "ON_MCP_CONFIGURATION", "arguments": {"state": state, "scopes": []}}
    tour.search.keep("configuration", await tour.call("tools/call", saved, {"x-mesh-token": token}))


async def look(tour: Tour) -> None:
    """What operators and monitors look at."""
    for path in ("/health", "/readyz", "/livez", "/metrics", f"/nowhere/{'x' * 10}", "/temp-files/x"):
        answer = await tour.http.get(tour.pod.url + path)
        tour.search.keep(path, f"{answer.headers}\n{answer.text}")
    doctor = {"PUBLIC_URL": tour.pod.url}
    for arguments in (
        ("doctor", "--json"),
        ("check-settings",),
        ("connections", "show", "conn_1"),
        ("connections", "disable", "conn_1"),
        ("connections", "enable", "conn_1"),
        ("events", "list", "--json"),
        ("secrets", "status"),
        ("audit", "list", "--json"),
    ):
        await tour.run(*arguments, environ=doctor)


async def lose_the_database(tour: Tour) -> None:
    """The connections of the pod are cut while it works."""
    before = len(tour.pod.find("listener.deaf"))
    await tour.fleet.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()"
    )
    await tour.pod.wait_until(lambda: len(tour.pod.find("listener.deaf")) > before)
    await tour.pod.wait_until(lambda: len(tour.pod.find("listener.listening")) > 1)
    await tour.ask(f"{CANARY}-again", answer=f"{CANARY}-again")


async def end_badly(tour: Tour) -> None:
    """Starts that cannot be, and a crash in the middle of the work."""
    nobody = f"postgresql://user:{CANARY}-password@127.0.0.1:1/slack"
    other = f"k2:{base64.b64encode(b'x' * 32).decode()}"
    for environ in (
        {"DATABASE_URL": nobody},
        {"DATABASE_URL": f"postgresql://user:{CANARY}/password@host:port/x"},
        {"ENCRYPTION_KEYS_FILE": "", "ENCRYPTION_KEYS": f"k1:{CANARY}", "OPENAI_API_KEY": f"{CANARY}\nkey"},
    ):
        code, _text = await tour.run("serve", environ=environ)
        assert code in {1, 2}
    await tour.run("doctor", environ={"DATABASE_URL": nobody})
    await tour.run("connections", "show", "conn_1", environ={"ENCRYPTION_KEYS_FILE": "", "ENCRYPTION_KEYS": other})
    tour.simulator.say("T1", "U0", "C1", f"<@UBOT> [[hangs]] {CANARY}-last")
    asked = len(tour.model.requests)
    while len(tour.model.requests) == asked:
        await anyio.lowlevel.checkpoint()
    tour.pod.process.send_signal(signal.SIGABRT)  # Python writes where every thread was
    await tour.pod.process.wait()
    await tour.pod.wait_until(lambda: "Fatal Python error" in tour.pod.raw)


async def read_database(tour: Tour, postgres_url: str) -> None:
    """All rows of all tables, as text: what is sealed shows nothing."""
    connection = await asyncpg.connect(postgres_url)
    try:
        tables: Sequence[asyncpg.Record] = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        )
        for (table,) in tables:
            rows = await connection.fetch(f'SELECT row_to_json(t)::text FROM "{table}" t')  # noqa: S608 - our own names
            tour.search.keep(f"table {table}", "\n".join(row[0] for row in rows))
            # Bytes are shown as hexadecimal digits.
            hidden = [row[0] for row in rows if CANARY.encode().hex() in row[0]]
            assert hidden == [], table
    finally:
        await connection.close()


def test_a_word_that_comes_out_is_found_with_its_place() -> None:
    search = Search()
    search.keep("the log", "all is well")
    search.keep("the log", f"the key is {KEY}")
    assert [where for where, _piece in search.find()] == ["the log #1"] * 2  # with and without its padding
