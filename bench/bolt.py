"""Bolt for Python beside the service: started and checked."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx2

from bench.bolt_peer import PATH
from bench.errors import BenchError
from bench.events import Tenant, make_event
from bench.processes import run_child
from bench.runs import Target
from bench.world import World, get_token
from slack_mcp.simulator.signing import sign

SECRET: Final = "signing-secret-of-the-peer"
OK: Final = 200
UNAUTHORIZED: Final = 401


@contextmanager
def run_bolt(world: World, server: str) -> Iterator[Target]:
    """Yield Bolt on one of its servers.

    Raises:
        BenchError: it takes a wrong signature, or at the end its listener did not run once for each ack.
    """
    arguments = ["-m", "bench.bolt_peer", "--server", server, "--signing-secret", SECRET, "--api-url", world.api_url]
    arguments += ["--token", get_token(world.tenants[0])]
    with run_child(f"Bolt ({server})", arguments, log=world.make_log(f"bolt-{server}")) as child:
        child.url = child.wait_for("url")
        tenant = Tenant(team_id=world.tenants[0].team_id, path=PATH, secret=SECRET)
        target = Target(name=f"Bolt ({server})", child=child, tenants=[tenant])
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
