"""`slack-mcp backup …`: make, check, load and list backups of the database."""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from slack_mcp.cli.acts import audited
from slack_mcp.cli.progress import ProgressLine, open_progress
from slack_mcp.cli.render import print_fields, print_json, print_table, render_time
from slack_mcp.cli.seam import Admin, Backups, Seam
from slack_mcp.core.errors import InvalidInputError, StoreUnavailableError

if TYPE_CHECKING:
    from slack_mcp.backup.manifest import BackupManifest
    from slack_mcp.backup.read import StoredBackup
    from slack_mcp.settings import Settings

T = TypeVar("T")

LIST_COLUMNS = ("backup", "started", "size", "format", "rows", "version", "revision", "key")
NOT_SEALED = "not sealed"
UNREADABLE = "unreadable"
LATEST = "latest"

cli = typer.Typer(help="Make, check, load or list backups of the database.", no_args_is_help=True)

Target = Annotated[
    str | None,
    typer.Option(help="A directory, or s3://bucket/prefix; BACKUP_TARGET if not given."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(metavar="BACKUP", help="As `list` shows it, or `latest`.")]


class FormatName(StrEnum):
    """What a backup is made of."""

    PORTABLE = "portable"
    PG_DUMP = "pg_dump"
    SQLITE = "sqlite"


@cli.command()
def create(
    ctx: typer.Context,
    *,
    target: Target = None,
    format_: Annotated[
        FormatName,
        typer.Option("--format", help="portable goes into either kind of database; the others into their own."),
    ] = FormatName.PORTABLE,
    keep: Annotated[
        int | None, typer.Option(help="Then delete all but so many of the newest, once this one is verified.", min=1)
    ] = None,
    keep_days: Annotated[
        float | None, typer.Option(help="Then delete those older than so many days, once this one is verified.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read it back and check all of it.")] = False,
    json: Json = False,
) -> None:
    """Make a backup of one moment of the database, while the service goes on."""
    from slack_mcp.backup.manifest import BackupFormat

    if keep_days is not None and keep_days <= 0:
        raise InvalidInputError("--keep-days must be above 0.")
    retains = keep is not None or keep_days is not None

    async def work(backups: Backups) -> tuple["StoredBackup", list[str], bool]:
        made = await backups.create(BackupFormat(format_.value))
        if verify or retains:
            await backups.verify(made)
        is_noted = True
        try:
            await backups.note(made)
        except StoreUnavailableError:
            is_noted = False
        deleted = await backups.delete_expired(keep=keep, keep_days=keep_days) if retains else []
        return made, list(deleted), is_noted

    made, deleted, is_noted = _run(ctx, target, work)
    if json:
        print_json({**_render(made), "deleted": deleted})
    else:
        shown = {name: value for name, value in _render(made).items() if not isinstance(value, dict)}
        print_fields(shown | ({"deleted": deleted} if deleted else {}))
    for warning in _list_warnings(made, is_noted=is_noted):
        typer.echo(warning, err=True)


@cli.command("list")
def list_(ctx: typer.Context, *, target: Target = None, json: Json = False) -> None:
    """List the backups, newest first, as they tell of themselves: `verify` checks one."""

    async def work(backups: Backups) -> "list[StoredBackup]":
        return list(await backups.list_all())

    found = _run(ctx, target, work)
    if json:
        print_json([_render(backup) for backup in found])
    elif found:
        print_table(LIST_COLUMNS, [_render_row(backup) for backup in found])
    else:
        print("No backups: `slack-mcp backup create` makes one.")


@cli.command()
def verify(ctx: typer.Context, name: Name = LATEST, *, target: Target = None, json: Json = False) -> None:
    """Read all of a backup and check it, without any database."""

    async def work(backups: Backups) -> tuple["StoredBackup", "BackupManifest"]:
        backup = await backups.find(name)
        return backup, await backups.verify(backup)

    backup, manifest = _run(ctx, target, work)
    _print_done(backup, manifest, json=json, said=f"{backup.name} is as it was written.")


@cli.command()
def restore(
    ctx: typer.Context,
    name: Name = LATEST,
    *,
    target: Target = None,
    force: Annotated[bool, typer.Option("--force", help="Delete what is in the database.")] = False,
    json: Json = False,
) -> None:
    """Load a backup into the database: all of it, or nothing. Stop the service first."""

    async def work(backups: Backups) -> tuple["StoredBackup", "BackupManifest", list[str]]:
        backup = await backups.find(name)
        manifest = await backups.restore(backup, force=force)
        return backup, manifest, [key for key in manifest.sealed_values if key not in backups.key_ids]

    async def note(admin: Admin, _settings: "Settings") -> None:
        # The database that could have said before that it is about to be replaced is gone, and its audit with it.
        async with audited(admin.audit, "backup restore", target=backup.name):
            pass

    backup, manifest, missing = _run(ctx, target, work)
    seam: Seam = ctx.obj
    seam.run_admin(note)
    _print_done(backup, manifest, json=json, said=f"Restored {backup.name}.")
    if missing:
        typer.echo(
            f"Values are sealed with keys that are not on the ring: {', '.join(missing)}. Add them to ENCRYPTION_KEYS "
            "before you start the service: what they seal does not open without them.",
            err=True,
        )


def _run(ctx: typer.Context, target: str | None, work: Callable[[Backups], Awaitable[T]]) -> T:
    """Run work on the backups, with a line of progress where somebody sees it, and return what it returns."""
    import sys

    seam: Seam = ctx.obj
    with open_progress() if sys.stderr.isatty() else nullcontext(ProgressLine()) as progress:
        return seam.run_backups(target, progress.update, work)


def _list_warnings(made: "StoredBackup", *, is_noted: bool) -> list[str]:
    """Return what whoever made a backup has to know about it."""
    assert made.head is not None  # noqa: S101 - it was just made
    key_id = made.head.key_id
    warnings = [
        "The backup is NOT SEALED: there are no ENCRYPTION_KEYS, so that whoever has the file reads all tokens and "
        "messages."
        if key_id is None
        else f"The backup is sealed with key {key_id}. Keep that key somewhere else: without it nobody can read it."
    ]
    if not is_noted:
        warnings.append("The database can only be read, and does not know of the backup: alerts will not see it.")
    return warnings


def _print_done(backup: "StoredBackup", manifest: "BackupManifest", *, json: bool, said: str) -> None:
    """Print what a backup turned out to be."""
    if json:
        print_json(_render(backup))
        return
    rows = [(name, str(summary.rows), summary.digest[:16]) for name, summary in sorted(manifest.tables.items())]
    print_table(("table", "rows", "digest"), rows)
    print(said)


def _render(backup: "StoredBackup") -> dict[str, Any]:
    """Return a backup as plain data."""
    head, manifest = backup.head, backup.manifest
    return {
        "name": backup.name,
        "size_bytes": backup.size,
        "state": "whole" if backup.is_whole else UNREADABLE,
        "started": None if head is None else render_time(head.started_at_ms),
        "finished": None if manifest is None else render_time(manifest.finished_at_ms),
        "format": None if head is None else head.format.value,
        "database": None if head is None else head.dialect,
        "version": None if head is None else head.version,
        "revision": None if head is None else head.revision,
        "sealed_with": None if head is None else head.key_id,
        "keys_of_values": None if manifest is None else dict(manifest.sealed_values),
        "rows": None if manifest is None else manifest.rows,
        "tables": None
        if manifest is None
        else {name: {"rows": each.rows, "digest": each.digest} for name, each in sorted(manifest.tables.items())},
    }


def _render_row(backup: "StoredBackup") -> tuple[str, ...]:
    """Return a backup's cells for `list`."""
    head, manifest = backup.head, backup.manifest
    if head is None or manifest is None:
        return (backup.name, UNREADABLE, _render_size(backup.size), "", "", "", "", "")
    return (
        backup.name,
        render_time(head.started_at_ms),
        _render_size(backup.size),
        head.format.value,
        str(manifest.rows),
        head.version,
        head.revision,
        head.key_id or NOT_SEALED,
    )


def _render_size(size: int) -> str:
    """Return bytes as people read them."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:  # noqa: PLR2004 - what these units are
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
