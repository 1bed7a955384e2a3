"""`slack-mcp migrate …`: the database's schema. The service applies what is missing by itself when it starts."""

from typing import Annotated

import typer

from slack_mcp.cli.render import print_json, print_table
from slack_mcp.cli.seam import Migrations, Seam

cli = typer.Typer(help="List, apply or roll back the database's migrations.", no_args_is_help=True)


@cli.command()
def status(ctx: typer.Context, *, json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List all migrations and whether the database has them."""

    async def work(migrations: Migrations) -> list[tuple[str, str, str]]:
        return [
            (state.revision, state.name, "applied" if state.applied else "pending")
            for state in await migrations.status()
        ]

    seam: Seam = ctx.obj
    rows = seam.run_migrations(work)
    if json:
        print_json([{"revision": revision, "name": name, "state": state} for revision, name, state in rows])
    else:
        print_table(("revision", "name", "state"), rows)


@cli.command()
def up(ctx: typer.Context) -> None:
    """Apply all migrations that are missing."""

    async def work(migrations: Migrations) -> list[str]:
        return list(await migrations.up())

    seam: Seam = ctx.obj
    applied = seam.run_migrations(work)
    for name in applied:
        print(f"Applied {name}.")
    if not applied:
        print("Nothing to do: the schema is current.")


@cli.command()
def down(
    ctx: typer.Context,
    to: Annotated[str, typer.Argument(help="The revision to go back to, such as 0001; `base` undoes all.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Roll back the migrations after a revision. What they added is deleted with its data."""
    if not yes:
        typer.confirm(f"Roll back to {to}? What the later migrations added is deleted with its data.", abort=True)

    async def work(migrations: Migrations) -> list[str]:
        return list(await migrations.down(to))

    seam: Seam = ctx.obj
    undone = seam.run_migrations(work)
    for name in undone:
        print(f"Rolled back {name}.")
    if not undone:
        print(f"Nothing to do: nothing after {to} is applied.")
