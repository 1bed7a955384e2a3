"""Bolt beside the service, for Python and on Node: started and checked."""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

import httpx2

from bench.bolt_peer import PATH, SERVERS
from bench.errors import BenchError
from bench.events import Tenant, make_event
from bench.processes import ROOT, run_child
from bench.runs import Target
from bench.world import World, get_token
from slack_mcp.simulator.signing import sign

SECRET: Final = "signing-secret-of-the-peer"
OK: Final = 200
UNAUTHORIZED: Final = 401
KEYS: Final = {"stock": "bolt", "tuned": "bolt-tuned"}
NODE_MODULES: Final = ROOT / ".bench" / "node_modules"
NODE_PEER: Final = ROOT / "bench" / "bolt_js" / "peer.cjs"
# More than any of them answers.
MOST_PER_SECOND: Final = 12_000


@contextmanager
def run_bolts(world: World) -> Iterator[Sequence[Target]]:
    """Yield Bolt for Python on each of its servers, and Bolt JS where Node is.

    Raises:
        BenchError: one takes a wrong signature, or at the end its listener did not run once for each ack.
    """
    node = shutil.which("node")
    with ExitStack() as stack:
        bolts = [
            stack.enter_context(
                run_bolt(world, KEYS[server], f"Bolt ({server})", ["-m", "bench.bolt_peer", "--server", server])
            )
            for server in SERVERS
        ]
        if node is None or not NODE_MODULES.is_dir():
            missing = "there is no Node" if node is None else "it is not installed; `make bench` does that"
            print(f"Bolt JS is left out: {missing}.", file=sys.stderr)
        else:
            bolts.append(stack.enter_context(run_bolt(world, "bolt-js", "Bolt JS", [str(NODE_PEER)], program=node)))
        yield bolts


@contextmanager
def run_bolt(
    world: World, key: str, name: str, arguments: Sequence[str], *, program: str | None = None
) -> Iterator[Target]:
    """Yield one of them; raises BenchError as `run_bolts` does."""
    options = ["--signing-secret", SECRET, "--api-url", world.api_url, "--token", get_token(world.tenants[0])]
    env = {**os.environ, "NODE_PATH": str(NODE_MODULES)}
    with run_child(name, [*arguments, *options], log=world.make_log(key), program=program, env=env) as child:
        child.url = child.wait_for("url")
        tenant = Tenant(team_id=world.tenants[0].team_id, path=PATH, secret=SECRET)
        target = Target(key=key, name=name, child=child, tenants=[tenant], most_per_second=MOST_PER_SECOND)
        check_signatures(target)
        yield target
    handled = int(child.wait_for("handled"))
    if handled != target.acked:
        raise BenchError(f"{target.name}: {target.acked} acks and {handled} runs of the listener.")


def check_signatures(target: Target) -> None:
    """Raise BenchError unless a right signature gets 200 and a wrong one 401."""
    tenant = target.tenants[0]
    body = json.dumps(make_event(tenant, "EvCHECK", 0)).encode()
    for secret, expected in ((tenant.secret, OK), ("wrong", UNAUTHORIZED)):
        headers = {"Content-Type": "application/json", **sign(body, secret, int(time.time()))}
        answer = httpx2.post(f"{target.child.url}{tenant.path}", content=body, headers=headers, trust_env=False)
        if answer.status_code != expected:
            raise BenchError(f"{target.name}: {answer.status_code} and not {expected} for a signature.")
    target.acked += 1
