"""All checks, side by side, each with a deadline."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

import anyio

from slack_mcp.core.clock import Clock, SystemClock
from slack_mcp.core.errors import ConnectionNotFoundError, SealingError, SettingsError, SlackMcpError, StoreError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection
from slack_mcp.doctor.address import check_address, check_webhook
from slack_mcp.doctor.database import (
    check_database,
    check_listen,
    check_migrations,
    check_pooler,
    check_refusing_pooler,
    check_sqlite,
)
from slack_mcp.doctor.deployment import Deployment, load_ring, open_deployment
from slack_mcp.doctor.finding import Check, Finding, Verdict, fail, good, warn
from slack_mcp.doctor.fleet import check_backlog, check_pods
from slack_mcp.doctor.keys import check_keys, check_sealed
from slack_mcp.doctor.tenants import check_slack, check_stored
from slack_mcp.sealing import KeyRing
from slack_mcp.settings import Settings

TIMEOUT_S: Final = 10.0
# Slack counts what is asked of it, and everybody's turn comes.
AT_A_TIME: Final = 8
# Each of them is asked for through the public address, so that a few tell enough.
MAX_WEBHOOKS: Final = 3

Look = Callable[[], Awaitable[Sequence[Finding]]]


class Task(NamedTuple):
    """One look at something, which says what it is when it fails."""

    check: Check
    look: Look
    connection_id: ConnectionId | None = None


async def examine(
    settings: Settings, *, only: ConnectionId | None = None, timeout_s: float = TIMEOUT_S, clock: Clock | None = None
) -> Sequence[Finding]:
    """Return what was found, in the order of the checks.

    Args:
        settings: the pods'.
        only: the one connection to look at.
        timeout_s: how long one check may take.
        clock: this machine's.

    Raises:
        ConnectionNotFoundError: `only` does not exist.
    """
    findings = [*_check_settings(settings), *check_keys(settings)]
    findings += await _attempt(Task(Check.PUBLIC_URL, partial(check_address, settings)), timeout_s=timeout_s)
    path = settings.database.sqlite_path
    if path is not None and not path.exists():
        missing = f"{settings.database.describe()} does not exist yet."
        return [*findings, warn(Check.DATABASE, missing, "Start the service: it makes it.")]
    ring = _load_what_opens(settings)
    async with open_deployment(
        settings, ring=ring, only=only, timeout_s=timeout_s, clock=clock or SystemClock()
    ) as deployment:
        reached = await _attempt(Task(Check.DATABASE, partial(check_database, deployment)), timeout_s=timeout_s)
        findings += reached
        if any(each.verdict is Verdict.FAILURE for each in reached if each.check is Check.DATABASE):
            # A pooler may be what refuses the pods' own way to connect.
            refusing = Task(Check.POOLER, partial(check_refusing_pooler, deployment))
            return [*findings, *await _attempt(refusing, timeout_s=timeout_s)]
        schema = Task(Check.MIGRATIONS, partial(check_migrations, deployment))
        migrated = await _attempt(schema, timeout_s=timeout_s)
        findings += migrated
        checks: list[Task] = [
            Task(Check.POOLER, partial(check_pooler, deployment)),
            Task(Check.LISTEN, partial(check_listen, deployment)),
            Task(Check.SQLITE_WAL, partial(check_sqlite, deployment)),
        ]
        if all(each.verdict is Verdict.OK for each in migrated):
            checks += [
                Task(Check.SEALED, partial(check_sealed, deployment)),
                Task(Check.PODS, partial(check_pods, deployment)),
                Task(Check.BACKLOG, partial(check_backlog, deployment)),
                *await _list_tenant_checks(deployment, findings),
            ]
        return [*findings, *await _run(checks, timeout_s=timeout_s)]


def _check_settings(settings: Settings) -> Sequence[Finding]:
    """Return what is worth knowing of the settings; they were read, or nobody would be here."""
    remedy = "docs/settings.md says what each setting does."
    # That nothing is sealed is told by `keys`, with what to do.
    notices = [each for each in settings.notices if not each.startswith("ENCRYPTION_KEYS")]
    return [good(Check.SETTINGS, "The settings are good."), *(warn(Check.SETTINGS, each, remedy) for each in notices)]


def _load_what_opens(settings: Settings) -> KeyRing | None:
    """Return the keys; none when `check_keys` has said what is wrong with them."""
    try:
        return load_ring(settings)
    except (FileNotFoundError, SettingsError):
        return None


async def _list_tenant_checks(deployment: Deployment, findings: list[Finding]) -> Sequence[Task]:
    """Return the checks of the connections; raises ConnectionNotFoundError."""
    connections = await _load_connections(deployment)
    if not connections:
        remedy = "`slack-mcp connections add` makes one, or save one in Mesh."
        findings.append(warn(Check.CONNECTIONS, "There are no connections that open.", remedy))
        return []
    last = await deployment.inspector.load_last_deliveries(deployment.only)
    try:
        agents = deployment.make_agents()
    except SettingsError as error:
        findings.append(fail(Check.AGENT, str(error), "Mend the setting: no pod starts with it."))
        agents = None
    checks: list[Task] = []
    for number, connection in enumerate(connections):
        whose = connection.connection_id
        checks += [
            Task(Check.CONNECTIONS, partial(check_stored, deployment, connection, agents=agents, last=last), whose),
            Task(Check.SLACK, partial(check_slack, deployment, connection), whose),
        ]
        if number < MAX_WEBHOOKS:
            checks.append(Task(Check.WEBHOOK, partial(check_webhook, deployment, connection), whose))
    return checks


async def _load_connections(deployment: Deployment) -> Sequence[Connection]:
    """Return the connections that open; `sealed` tells of the others."""
    only = deployment.only
    if only is None:
        return await deployment.connections.list_connections()
    try:
        found = await deployment.connections.load_connection(only)
    except (SealingError, StoreError):
        return []
    if found is None:
        raise ConnectionNotFoundError(only)
    return [found]


async def _run(checks: Sequence[Task], *, timeout_s: float) -> Sequence[Finding]:
    """Return the findings of all checks, in their order."""
    found: list[Sequence[Finding]] = [()] * len(checks)
    limiter = anyio.CapacityLimiter(AT_A_TIME)

    async def run(place: int, task: Task) -> None:
        async with limiter:
            found[place] = await _attempt(task, timeout_s=timeout_s)

    async with anyio.create_task_group() as tasks:
        for place, task in enumerate(checks):
            tasks.start_soon(run, place, task)
    return [finding for findings in found for finding in findings]


async def _attempt(task: Task, *, timeout_s: float) -> Sequence[Finding]:
    """Return what was found, or that it could not be found out."""
    try:
        with anyio.fail_after(timeout_s):
            return await task.look()
    except TimeoutError:
        found, remedy = f"This took longer than {timeout_s:g} s.", "Look again, with a longer --timeout."
    except SlackMcpError as error:
        found, remedy = f"This could not be found out ({error.code}): {error}", "Mend that first, and look again."
    except Exception as error:  # noqa: BLE001 - a bug in one check is no reason to keep the others' findings back
        found = f"The check itself broke ({type(error).__name__})."
        remedy = "This is a bug of slack-mcp: please report it, with the version."
    return [fail(task.check, found, remedy, connection_id=task.connection_id)]
