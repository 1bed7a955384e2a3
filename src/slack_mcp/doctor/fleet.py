"""The pods that serve, and what waits for them."""

from collections.abc import Sequence
from typing import Final

from slack_mcp import __version__
from slack_mcp.doctor.database import judge_skew
from slack_mcp.doctor.deployment import Deployment
from slack_mcp.doctor.finding import Check, Finding, Verdict, fail, good, warn

LATE_S: Final = 60.0
# An event that is tried again may wait as long as an hour; one that is older than that should have been given up.
STUCK_S: Final = 3900.0
DEAD_SINCE_S: Final = 86_400.0
_MS: Final = 1000


async def check_pods(deployment: Deployment) -> Sequence[Finding]:
    """Find out who serves this database, in which versions, and how their clocks go."""
    seen = await deployment.pods.list_pods()
    alive = [each for each in seen if not each.is_silent]
    findings = []
    if not alive:
        findings.append(
            fail(
                Check.PODS,
                "No pod has noted itself lately.",
                "Start `slack-mcp serve`; pods before this version note nothing.",
            )
        )
    else:
        versions = sorted({each.presence.version for each in alive})
        found = f"{len(alive)} {'pod serves' if len(alive) == 1 else 'pods serve'}, in version {', '.join(versions)}."
        if len(versions) > 1:
            findings.append(
                warn(Check.PODS, found, "Let the deployment end, or roll it back: one version is meant to serve.")
            )
        elif versions != [__version__]:
            remedy = "Look with the version that serves: this one may judge by other rules."
            findings.append(warn(Check.PODS, f"{found} This command is {__version__}.", remedy))
        else:
            findings.append(good(Check.PODS, found))
    findings += [
        warn(
            Check.PODS,
            f"Pod {each.presence.pod_id} has been silent for {each.silent_s:.0f} s without having said goodbye.",
            "It was killed, or has lost the database: look at its log. Its work was taken over.",
        )
        for each in seen
        if each.is_silent
    ]
    skews = [judge_skew(Check.POD_CLOCKS, f"The clock of pod {each.presence.pod_id}", each.skew_s) for each in alive]
    bad = [each for each in skews if each.verdict is not Verdict.OK]
    return [
        *findings,
        *(bad or ([good(Check.POD_CLOCKS, "The pods' clocks agree with the database's.")] if alive else [])),
    ]


async def check_backlog(deployment: Deployment) -> Sequence[Finding]:
    """Find out how long events wait, and how many were given up."""
    now_ms = int(deployment.clock.now_s() * _MS)
    held = await deployment.inspector.load_backlog(deployment.only, dead_since_ms=now_ms - int(DEAD_SINCE_S * _MS))
    unfinished, dead = held["unfinished"], held["dead"]
    age_s = max(0.0, (now_ms - held["oldest_at_ms"]) / _MS) if unfinished else 0.0
    found = f"{unfinished} events are unfinished" + (f"; the oldest came {age_s:.0f} s ago." if unfinished else ".")
    remedy = "Look at /readyz and the log of the pods: `slack-mcp why EVENT_ID` tells of one event what it waits for."
    if age_s < LATE_S:
        findings = [good(Check.BACKLOG, found)]
    else:
        findings = [(fail if age_s >= STUCK_S else warn)(Check.BACKLOG, found, remedy)]
    if dead:
        remedy = "`slack-mcp events list --state dead` says why, and `slack-mcp events replay` tries them again."
        findings.append(warn(Check.DEAD, f"{dead} events were given up within a day.", remedy))
    else:
        findings.append(good(Check.DEAD, "No event was given up within a day."))
    return findings
