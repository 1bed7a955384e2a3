"""`slack-mcp import`: connections of the original slack-mcp, from its table or its file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from slack_mcp.cli.acts import audited
from slack_mcp.cli.ask import (
    check_bot_token,
    check_connection_id,
    check_signing_secret,
    find_secret,
    read_text,
)
from slack_mcp.cli.guard import EXIT_FAILED
from slack_mcp.cli.render import print_json, print_table
from slack_mcp.cli.seam import Admin, Seam
from slack_mcp.core.clock import SystemClock
from slack_mcp.core.errors import InvalidInputError, SlackApiError

if TYPE_CHECKING:
    from slack_mcp.connections.originals import Original
    from slack_mcp.core.model import Connection
    from slack_mcp.settings import Settings

COLUMNS: Final = ("connection", "result", "why")


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of one connection.

    Attributes:
        connection: its id, or what it is called where it was found.
        result: `added`, `changed`, `unchanged` or `refused`.
        why: what was changed, or why it was refused.
    """

    connection: str
    result: str
    why: str


def import_(
    ctx: typer.Context,
    source: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="slack-kv.json, or the table slack_connections as CSV or JSON."),
    ] = None,
    *,
    database: Annotated[
        bool, typer.Option("--database", help="Read the table where it lies; its URL is asked for.")
    ] = False,
    database_url_file: Annotated[Path | None, typer.Option(help="File with the URL of that PostgreSQL.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Change connections that exist already.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask Slack whose each token is.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take over the connections of the original slack-mcp. Ends with 1 when one of them was refused."""
    if (source is None) != (database or database_url_file is not None):
        raise InvalidInputError("Name a file, or say --database or --database-url-file; one of them.")
    seam: Seam = ctx.obj
    text = None if source is None else read_text("The file to import", source)
    url = None
    if source is None:
        found = find_secret(
            "URL of the original's PostgreSQL", file=database_url_file, environment=None, is_terminal=seam.is_terminal
        )
        if found is None:
            raise InvalidInputError(
                "Nobody can be asked for the database's URL here: give it with --database-url-file."
            )
        url = found

    async def work(admin: Admin, settings: "Settings") -> list[Imported]:
        from slack_mcp.connections.originals import parse_export, parse_rows

        if text is not None:
            originals = parse_export(text, now_s=SystemClock().now_s())
        else:
            assert url is not None  # noqa: S101 - asked for above
            originals = parse_rows(await seam.load_composition().load_original_rows(settings, url))
        importer = _Importer(admin=admin, dry_run=dry_run, update=update, offline=offline)
        return [await importer.take(original) for original in originals]

    done = seam.run_admin(work)
    _print_report(done, dry_run=dry_run, json=json)
    if any(each.result == "refused" for each in done):
        raise typer.Exit(EXIT_FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Importer:
    """Takes connections, one after the other."""

    admin: Admin
    dry_run: bool
    update: bool
    offline: bool

    async def take(self, original: "Original") -> Imported:
        """Return what became of a connection; one that is refused keeps back no other."""
        name = str(original.fields.get("connection_id", original.source))
        if original.refusal is not None:
            return Imported(connection=_show(name), result="refused", why=original.refusal)
        try:
            return await self._take(original)
        except (InvalidInputError, SlackApiError) as error:
            return Imported(connection=_show(name), result="refused", why=str(error))

    async def _take(self, original: "Original") -> Imported:
        from slack_mcp.connections.originals import apply_original, list_differences

        connection_id = check_connection_id(original.fields["connection_id"])
        stored = await self.admin.connections.load_connection(connection_id)
        connection = apply_original(original, stored)
        check_bot_token(connection.bot_token)
        check_signing_secret(connection.signing_secret)
        changes = [] if stored is None else list_differences(connection, stored)
        if stored is not None and not changes:
            return Imported(connection=connection_id, result="unchanged", why="")
        if stored is not None and not self.update:
            why = f"It exists already, with another {', '.join(changes)}: --update changes it."
            return Imported(connection=connection_id, result="refused", why=why)
        if not self.dry_run:
            async with audited(
                self.admin.audit, "import", connection_id=connection_id, target=", ".join(changes) or None
            ):
                await self._save(connection, stored)
        result = "added" if stored is None else "changed"
        notes = [", ".join(changes)] if changes else []
        notes += [f"not taken: {', '.join(original.ignored)}"] if original.ignored else []
        return Imported(connection=connection_id, result=result, why="; ".join(notes))

    async def _save(self, connection: "Connection", stored: "Connection | None") -> None:
        if not self.offline:
            await self.admin.saver.save(connection)
            return
        if stored is not None and stored.bot_token != connection.bot_token:
            # What Slack had said was of another token.
            connection = replace(connection, bot_id=None, api_app_id=None, bot_scopes=None)
        await self.admin.connections.save_connection(connection)


def _show(name: str) -> str:
    """Return a name that may be anything at all, as far as a line of a table takes it."""
    shown = "".join(char if char.isprintable() else "?" for char in name)
    return shown if len(shown) <= 200 else shown[:200] + "…"  # noqa: PLR2004 - as long as an id may be


def _print_report(done: Sequence[Imported], *, dry_run: bool, json: bool) -> None:
    """Print what became of each, and how many of each kind."""
    if json:
        rows = [{"connection": each.connection, "result": each.result, "why": each.why or None} for each in done]
        print_json({"dry_run": dry_run, "connections": rows})
        return
    if done:
        print_table(COLUMNS, [(each.connection, each.result, each.why) for each in done])
    counts = {result: sum(each.result == result for each in done) for result in ("added", "changed", "unchanged")}
    counts["refused"] = len(done) - sum(counts.values())
    told = ", ".join(f"{count} {result}" for result, count in counts.items())
    print(f"{'Nothing was written. It would be: ' if dry_run else ''}{told}.")
