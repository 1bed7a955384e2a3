"""The command tree, and the commands that have no subcommands."""

from typing import TYPE_CHECKING, Annotated

import typer

from slack_mcp import __version__
from slack_mcp.cli import (
    audit,
    backup,
    connections,
    docs,
    doctor,
    events,
    importing,
    keys,
    manifest,
    migrate,
    policy,
    secrets,
    stdio,
    triggers,
    why,
)
from slack_mcp.cli.guard import GuardedGroup

if TYPE_CHECKING:
    from slack_mcp.cli.seam import Seam

cli = typer.Typer(
    cls=GuardedGroup,
    help="Connects Slack workspaces to AI agents.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks would show the values of local variables
)
cli.add_typer(connections.cli, name="connections")
cli.add_typer(keys.cli, name="keys")
cli.add_typer(secrets.cli, name="secrets")
cli.add_typer(policy.cli, name="policy")
cli.add_typer(audit.cli, name="audit")
cli.add_typer(events.cli, name="events")
cli.add_typer(triggers.cli, name="triggers")
cli.add_typer(migrate.cli, name="migrate")
cli.add_typer(backup.cli, name="backup")
cli.add_typer(docs.cli, name="docs")
cli.command("stdio")(stdio.stdio)
cli.command("manifest")(manifest.manifest)
cli.command("why")(why.why)
cli.command("import")(importing.import_)
cli.command("doctor")(doctor.doctor)


def _print_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@cli.callback()
def root(
    *,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Connect Slack workspaces to AI agents."""


@cli.command()
def serve(ctx: typer.Context) -> None:
    """Run the service; the settings say where and on which database."""
    seam: Seam = ctx.obj
    seam.load_composition().serve(seam.load_settings())


@cli.command()
def demo(
    ctx: typer.Context,
    say: Annotated[str | None, typer.Option(help="Say this in the simulated workspace, print the thread, end.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = None,
) -> None:
    """Run the service with a simulated Slack workspace and print its address."""
    seam: Seam = ctx.obj
    seam.load_demo().run(seam.load_settings(), port=port, say=say, echo=typer.echo)


@cli.command()
def check_settings(ctx: typer.Context) -> None:
    """Read the settings, print what is set (secrets masked), or every mistake with exit code 2."""
    from slack_mcp.cli.render import render_settings

    seam: Seam = ctx.obj
    settings = seam.load_settings()
    for line in render_settings(settings):
        typer.echo(line)
