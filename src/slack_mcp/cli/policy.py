"""`slack-mcp policy …`: what the tools may do for a connection."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from slack_mcp.cli.acts import audited, name_changes
from slack_mcp.cli.render import print_fields, print_json, render_policy
from slack_mcp.cli.seam import Admin, Seam
from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.ids import ChannelId
from slack_mcp.core.model import Connection, ToolPolicy

cli = typer.Typer(help="Show or change what the tools may do for a connection.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="CONNECTION_ID", help="The connection's id.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@cli.command()
def show(ctx: typer.Context, connection_id: Id, *, json: Json = False) -> None:
    """Show a connection's policy."""

    async def work(_admin: Admin, connection: Connection) -> ToolPolicy:
        return connection.settings.tools

    seam: Seam = ctx.obj
    fields = render_policy(seam.run_on_connection(connection_id, work))
    print_json(fields) if json else print_fields(fields)


@cli.command("set")
def set_(
    ctx: typer.Context,
    connection_id: Id,
    *,
    is_read_only: Annotated[
        bool | None, typer.Option("--read-only/--read-write", help="Whether tools that write are refused.")
    ] = None,
    allow_tool: Annotated[list[str] | None, typer.Option(help="The only tools there are; may be repeated.")] = None,
    deny_tool: Annotated[list[str] | None, typer.Option(help="A tool that is refused; may be repeated.")] = None,
    write_channel: Annotated[
        list[str] | None,
        typer.Option(help="Id of one of the only channels that tools may write to; may be repeated."),
    ] = None,
    deny_write_channel: Annotated[
        list[str] | None, typer.Option(help="Id of a channel that tools may not write to; may be repeated.")
    ] = None,
    is_approved: Annotated[
        bool | None,
        typer.Option(
            "--approve-outside-thread/--no-approve-outside-thread",
            help="Whether what is to be written outside of the thread being answered waits for somebody's click.",
        ),
    ] = None,
    is_cleared: Annotated[bool, typer.Option("--clear", help="Begin with a policy that allows everything.")] = False,
) -> None:
    """Change a connection's policy: each list that is given replaces the stored one, and the rest stays."""
    from slack_mcp.connections.policy import check_tool_names
    from slack_mcp.tools.registry import TOOLS

    def change(stored: ToolPolicy) -> ToolPolicy:
        base = ToolPolicy() if is_cleared else stored
        return ToolPolicy(
            is_read_only=base.is_read_only if is_read_only is None else is_read_only,
            allowed_tools=base.allowed_tools if allow_tool is None else tuple(dict.fromkeys(allow_tool)),
            denied_tools=base.denied_tools if deny_tool is None else tuple(dict.fromkeys(deny_tool)),
            write_channels=base.write_channels if write_channel is None else _read_channels(write_channel),
            denied_write_channels=(
                base.denied_write_channels if deny_write_channel is None else _read_channels(deny_write_channel)
            ),
            approve_outside_thread=base.approve_outside_thread if is_approved is None else is_approved,
        )

    async def work(admin: Admin, connection: Connection) -> ToolPolicy:
        policy = change(connection.settings.tools)
        check_tool_names(policy, {tool.name for tool in TOOLS})
        settings = replace(connection.settings, tools=policy)
        async with audited(
            admin.audit,
            "policy set",
            connection_id=connection.connection_id,
            target=name_changes(connection.settings.tools, policy),
        ):
            await admin.connections.save_connection(replace(connection, settings=settings))
        return policy

    seam: Seam = ctx.obj
    print_fields(render_policy(seam.run_on_connection(connection_id, work)))


def _read_channels(texts: Sequence[str]) -> tuple[ChannelId, ...]:
    from slack_mcp.connections.policy import is_channel_id

    for text in texts:
        if not is_channel_id(text):
            raise InvalidInputError(
                f"{text!r} is no channel's id such as C0123456789 (at the end of 'View channel details'); names change."
            )
    return tuple(ChannelId(text) for text in dict.fromkeys(texts))
