"""`slack-mcp manifest`: what to paste where Slack makes an app."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slack_mcp.connections.manifest import ToolScopes
    from slack_mcp.connections.scopes import Feature
    from slack_mcp.tools.needs import AnyOf


def manifest(
    *,
    url: Annotated[str, typer.Option(help="Where Slack reaches this service, https://….")],
    connection: Annotated[
        str | None, typer.Option(help="The connection's id; without one, the app is for many workspaces.")
    ] = None,
    name: Annotated[str, typer.Option(help="Of the app and its bot.")] = "Assistant",
    command: Annotated[str, typer.Option(help="The slash command.")] = "/slack-mcp",
    features: Annotated[
        str | None,
        typer.Option(
            help="Comma separated: bot, home, agent_view, assistant, commands, interactivity, triggers, tools, search, "
            "files, canvases, lists. Default: bot,home,commands,interactivity,tools."
        ),
    ] = None,
    output_format: Annotated[
        Literal["yaml", "json"], typer.Option("--format", help="YAML says beside each scope what it is for.")
    ] = "yaml",
    explain: Annotated[bool, typer.Option("--explain", help="Print what each scope is for, and no manifest.")] = False,
) -> None:
    """Print a Slack app's manifest with exactly the scopes, events, command and addresses that it needs."""
    from slack_mcp.cli.ask import check_connection_id
    from slack_mcp.connections.manifest import make_manifest

    made = make_manifest(
        url=url,
        connection_id=None if connection is None else check_connection_id(connection),
        name=name,
        command=command,
        features=_read_features(features),
        tools=_collect_tools(),
    )
    if explain:
        for line in made.explain():
            typer.echo(line)
    else:
        typer.echo(made.render_yaml() if output_format == "yaml" else made.render_json())


def _read_features(text: str | None) -> "Sequence[Feature]":
    """Return the features; raises InvalidInputError."""
    from slack_mcp.connections.scopes import DEFAULT_FEATURES, Feature
    from slack_mcp.core.errors import InvalidInputError

    if text is None:
        return DEFAULT_FEATURES
    words = [word for each in text.split(",") if (word := each.strip())]
    unknown = [word for word in words if word not in set(Feature)]
    if unknown or not words:
        raise InvalidInputError(f"--features: {', '.join(unknown) or 'nothing'} is none of {', '.join(Feature)}.")
    return [Feature(word) for word in words]


def _collect_tools() -> "Sequence[ToolScopes]":
    """Return what each tool needs. Of several scopes of which one will do, all: it depends on the channel."""
    from slack_mcp.connections.manifest import ToolScopes
    from slack_mcp.tools.registry import TOOLS

    return [
        ToolScopes(
            tool=tool.name,
            bot=_flatten(tool.needs.bot),
            # Where the bot's token will do, nobody is asked for a person's.
            user=_flatten(tool.needs.user) if tool.needs.bot is None else (),
        )
        for tool in TOOLS
    ]


def _flatten(needed: "Sequence[AnyOf] | None") -> tuple[str, ...]:
    return tuple(scope for each in needed or () for scope in ((each,) if isinstance(each, str) else each))
