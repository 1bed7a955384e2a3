"""`slack-mcp doctor`: the checks of a deployment, each with what to do."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slack_mcp.cli.ask import choose_connection
from slack_mcp.cli.guard import EXIT_FAILED, EXIT_SETTINGS
from slack_mcp.cli.render import print_json
from slack_mcp.core.errors import SettingsError

if TYPE_CHECKING:
    from slack_mcp.cli.seam import Seam
    from slack_mcp.doctor.finding import Finding

# Of more connections than these, only those are told one by one that something is wrong with.
MANY_CONNECTIONS = 10
WIDTHS = (7, 14)


def doctor(
    ctx: typer.Context,
    *,
    connection_id: Annotated[str | None, typer.Option("--connection", help="Look at this connection only.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that one check may take.", min=0.1, max=300)] = 10.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at the whole deployment and say of each thing whether it is well, and what to do if not.

    Exit code 0 when nothing fails, 1 when something does, 2 when the settings cannot be read. Nothing is changed.
    """
    import anyio

    from slack_mcp.telemetry import configure_logging

    seam: Seam = ctx.obj
    try:
        settings = seam.load_settings()
    except SettingsError as error:
        if not json:
            raise
        print_json([_render_problem(each) for each in error.problems])
        raise typer.Exit(EXIT_SETTINGS) from None
    # What the checks say is said once.
    configure_logging(level="critical", log_format="auto")
    only = None if connection_id is None else choose_connection(connection_id)
    examine = seam.load_doctor().examine

    async def run() -> Sequence["Finding"]:
        return await examine(settings, only=only, timeout_s=timeout)

    findings = anyio.run(run)
    if json:
        print_json([_render(each) for each in findings])
    else:
        _print_text(findings)
    if any(each.verdict == "failure" for each in findings):
        raise typer.Exit(EXIT_FAILED)


def _print_text(findings: Sequence["Finding"]) -> None:
    """Print a line for each finding, and one for what to do about it."""
    whose = {each.connection_id for each in findings if each.connection_id is not None}
    folded: dict[str, int] = {}
    for each in findings:
        if each.connection_id is not None and each.verdict == "ok" and len(whose) > MANY_CONNECTIONS:
            folded[each.check] = folded.get(each.check, 0) + 1
            continue
        _print_line(each.verdict, each.check, _clean(each.found), each.connection_id)
        if each.remedy:
            print(f"{'':<{WIDTHS[0]}}  {'':<{WIDTHS[1]}}  -> {_clean(each.remedy)}")
    for check, count in folded.items():
        _print_line("ok", check, f"{count} connections.", None)
    counts = {verdict: sum(each.verdict == verdict for each in findings) for verdict in ("ok", "warning", "failure")}
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))


def _print_line(verdict: str, check: str, found: str, connection_id: str | None) -> None:
    place = f"{connection_id}: " if connection_id else ""
    print(f"{verdict:<{WIDTHS[0]}}  {check:<{WIDTHS[1]}}  {place}{found}")


def _render(finding: "Finding") -> dict[str, Any]:
    """Return a finding as plain data."""
    return {
        "check": finding.check,
        "verdict": finding.verdict.value,
        "connection_id": finding.connection_id,
        "found": _clean(finding.found),
        "remedy": None if finding.remedy is None else _clean(finding.remedy),
    }


def _render_problem(problem: str) -> dict[str, Any]:
    """Return a mistake in the settings as a finding."""
    return {
        "check": "settings",
        "verdict": "failure",
        "connection_id": None,
        "found": _clean(problem),
        "remedy": "Mend the setting; `slack-mcp docs settings` lists them all.",
    }


def _clean(text: str) -> str:
    """Return one line in which nothing looks like a secret."""
    from slack_mcp.telemetry import redact_text

    return redact_text(" ".join(text.split()))
