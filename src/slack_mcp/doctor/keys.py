"""The encryption keys: whether they are there, safe, and open what is stored."""

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from slack_mcp.core.errors import SealingError, SettingsError, StoreError
from slack_mcp.doctor.deployment import Deployment, load_ring
from slack_mcp.doctor.finding import Check, Finding, fail, good, warn
from slack_mcp.settings import Settings
from slack_mcp.store.keyfile import get_key_file

READABLE_BY_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
MAX_NAMED: Final = 5


def check_keys(settings: Settings) -> Sequence[Finding]:
    """Find out whether there are keys, and who may read them."""
    try:
        ring = load_ring(settings)
    except FileNotFoundError:
        path = settings.database.sqlite_path
        if path is None or not path.exists():
            return [good(Check.KEYS, "The first start makes a database and a key file beside it.")]
        return [
            fail(
                Check.KEYS,
                f"The key file {get_key_file(path)} is missing.",
                "Bring it back from where it was kept: without it the stored tokens do not open, and have to be saved "
                "again.",
            )
        ]
    except SettingsError as error:
        return [fail(Check.KEYS, str(error), "Let the service's user read it, and let it hold id:key.")]
    if ring is None:
        return [
            warn(
                Check.KEYS,
                "ENCRYPTION_KEYS is not set: tokens and message text are stored in clear text.",
                'Set ENCRYPTION_KEYS to "k1:$(openssl rand -base64 32)" and keep a copy elsewhere; then save the '
                "connections again.",
            )
        ]
    findings = [good(Check.KEYS, f"{ring.active_key_id} seals; {', '.join(ring.key_ids)} open.")]
    if settings.key_ring is None and settings.database.sqlite_path is not None:
        findings.append(_judge_file(get_key_file(settings.database.sqlite_path)))
    return findings


def _judge_file(path: Path) -> Finding:
    mode = path.stat().st_mode & 0o777
    if mode & READABLE_BY_OTHERS:
        return fail(
            Check.KEY_FILE,
            f"Others than its owner may open the key file {path} (mode {mode:04o}).",
            f"chmod 600 {path}",
        )
    return good(Check.KEY_FILE, f"Only its owner may open the key file {path}.")


async def check_sealed(deployment: Deployment) -> Sequence[Finding]:
    """Find out whether the keys open what is stored, and what is stored in the clear."""
    reasons = {}
    ids = [deployment.only] if deployment.only is not None else await deployment.inspector.list_connection_ids()
    for connection_id in ids:
        try:
            await deployment.connections.load_connection(connection_id)
        except (SealingError, StoreError) as error:
            reasons[connection_id] = str(error)
    findings = []
    if reasons:
        named = ", ".join(list(reasons)[:MAX_NAMED]) + (", …" if len(reasons) > MAX_NAMED else "")
        findings.append(
            fail(
                Check.SEALED,
                f"{len(reasons)} of {len(ids)} connections do not open ({named}). {next(iter(reasons.values()))}",
                "Put the key that sealed them back on the ring, behind the one that seals; or save them again.",
            )
        )
    else:
        findings.append(good(Check.SEALED, f"All {len(ids)} connections open."))
    clear = await deployment.inspector.count_clear()
    if deployment.sealer.seals and (clear.connections or clear.events):
        findings.append(
            warn(
                Check.SEALED,
                f"In clear text: {clear.connections} of {clear.of_connections} connections, and {clear.events} of the "
                f"newest {clear.of_events} events.",
                "`slack-mcp secrets rotate` seals them.",
            )
        )
    return findings
