"""`slack-mcp secrets …`: which keys seal what, and sealing it all under the first one."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from slack_mcp.cli.acts import audited
from slack_mcp.cli.render import print_json, print_table
from slack_mcp.cli.seam import Admin, Seam
from slack_mcp.core.errors import ConflictError
from slack_mcp.ports.secrets import Resealed, SealCount, SealedBy

if TYPE_CHECKING:
    from slack_mcp.settings import Settings

COLUMNS: Final = ("table", "column", "sealed by", "values", "")
TELL_EVERY_S: Final = 2.0

cli = typer.Typer(help="Show which keys seal what in the database, or seal it all anew.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@cli.command()
def status(ctx: typer.Context, *, json: Json = False) -> None:
    """Count the values in the database by the key that seals them (exit code 1 while some are to be sealed anew)."""

    async def work(admin: Admin, _settings: "Settings") -> tuple[Sequence[str], Sequence[SealCount]]:
        return admin.secrets.key_ids, await admin.secrets.count_sealed()

    seam: Seam = ctx.obj
    key_ids, counts = seam.run_admin(work)
    left = sum(each.count for each in counts if each.is_left)
    if json:
        print_json({"keys": list(key_ids), "left": left, "values": [asdict(each) for each in counts]})
    else:
        _print(key_ids, counts, left)
    if left:
        raise typer.Exit(1)


@cli.command()
def rotate(
    ctx: typer.Context,
    *,
    is_undoing: Annotated[
        bool,
        typer.Option(
            "--without-data-keys",
            help="Seal everything under the ring's first key alone, and delete the data keys, for a version that knows "
            "none; no pod may run meanwhile.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Give each connection a data key, and seal whatever is sealed otherwise, or clear, anew.

    Runs beside running pods, once all of them are of this version and have the new key at the front of their ring. It
    can be stopped at any time and run again. Exit code 1 while something is left.
    """

    async def work(admin: Admin, _settings: "Settings") -> tuple[Resealed, int]:
        if not admin.secrets.key_ids:
            raise ConflictError("There is no key to seal with: set ENCRYPTION_KEYS, on all pods first.")
        tell = _make_tell()
        command = "secrets rotate --without-data-keys" if is_undoing else "secrets rotate"
        async with audited(admin.audit, command, target=admin.secrets.key_ids[0]) as act:
            done = await (admin.secrets.drop_data_keys(tell) if is_undoing else admin.secrets.rotate(tell))
            act.target = f"{admin.secrets.key_ids[0]} {done.values} values"
        counts = () if is_undoing else await admin.secrets.count_sealed()
        return done, sum(each.count for each in counts if each.is_left)

    seam: Seam = ctx.obj
    done, left = seam.run_admin(work)
    if json:
        print_json({**asdict(done), "left": left})
    else:
        print(
            f"Made {done.keys_made} data keys, sealed {done.keys_moved} others under the first key, and "
            f"{done.values} values anew."
        )
        if done.unreadable:
            print(f"{done.unreadable} values do not open: put their key back on the ring, behind the one that seals.")
        if left:
            print(f"{left} values are left: run it again. `slack-mcp secrets status` shows which.")
    if left:
        raise typer.Exit(1)


def _make_tell() -> Callable[[str, int], None]:
    """Return what prints now and then how far it is, beside the output."""
    told_s = time.monotonic()

    def tell(table: str, count: int) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= TELL_EVERY_S:
            told_s = time.monotonic()
            typer.echo(f"{table}: {count} values sealed anew …", err=True)

    return tell


def _print(key_ids: Sequence[str], counts: Sequence[SealCount], left: int) -> None:
    if counts:
        print_table(COLUMNS, [_render(each) for each in counts])
    print(f"Keys on the ring, the one that seals first: {', '.join(key_ids) or 'none'}.")
    if not left:
        print("Nothing is left to seal anew.")
    elif key_ids:
        print(f"{left} values are to be sealed anew: `slack-mcp secrets rotate` does that.")
    else:
        print(f"{left} values are in clear text or need a key: set ENCRYPTION_KEYS.")


def _render(count: SealCount) -> tuple[Any, ...]:
    names = {SealedBy.DATA_KEY: "data keys", SealedBy.DESTROYED: "destroyed data keys", SealedBy.CLEAR: "nothing"}
    by = names.get(count.sealed_by, f"key {count.key_id}")
    return count.table, count.column, by, str(count.count), "left" if count.is_left else ""
