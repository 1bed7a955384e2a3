"""`slack-mcp triggers …`: who is told of Slack's events."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from slack_mcp.cli.acts import audited
from slack_mcp.cli.ask import check_text, choose_connection
from slack_mcp.cli.render import print_fields, print_json, print_table, render_time
from slack_mcp.cli.seam import Admin, Seam
from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.model import Trigger

if TYPE_CHECKING:
    from slack_mcp.settings import Settings
    from slack_mcp.triggers.configure import Subscriptions

T = TypeVar("T")
LIST_COLUMNS = ("trigger", "kind", "event", "url", "filters", "state")

cli = typer.Typer(help="Add, list, remove or try the receivers of a connection's events.", no_args_is_help=True)

Connection = Annotated[str, typer.Option("--connection", help="The connection whose events are told.")]
Id = Annotated[str, typer.Argument(metavar="TRIGGER_ID", help="The trigger's id, as `triggers list` shows it.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@cli.command()
def add(
    ctx: typer.Context,
    *,
    connection_id: Connection,
    event_type: Annotated[str, typer.Option("--type", help="The kind of event, such as slack.message.received.")],
    url: Annotated[str, typer.Option(help="Where each event is sent by POST, https://…")],
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="KEY=VALUE", help="Only events with this value; may be given several times."),
    ] = None,
    json: Json = False,
) -> None:
    """Add a receiver, and print the key with which its deliveries are signed: it is shown this once.

    The signature is that of Standard Webhooks (https://www.standardwebhooks.com).
    """
    chosen = dict(_read_filter(text) for text in filters or ())

    async def work(admin: Admin, subscriptions: "Subscriptions") -> Trigger:
        whose = choose_connection(connection_id)
        async with audited(admin.audit, "triggers add", connection_id=whose) as act:
            added = await subscriptions.add(whose, event_type, check_text("--url", url) or "", chosen)
            act.target = f"{added.trigger_id} {added.event_type}"
        return added

    added = _run(ctx, work)
    if json:
        print_json({**_render(added), "signing_secret": added.secret.reveal()})
        return
    # The key alone on standard output, so that it can be piped to where it is needed.
    print(added.secret.reveal())
    typer.echo(f"Added {added.trigger_id}. Keep its signing secret now: it is not shown again.", err=True)


@cli.command("list")
def list_(ctx: typer.Context, *, connection_id: Connection, json: Json = False) -> None:
    """List the triggers of a connection, those of Mesh's automations too; never their secrets."""

    async def work(_admin: Admin, subscriptions: "Subscriptions") -> Sequence[Trigger]:
        return await subscriptions.list_triggers(choose_connection(connection_id))

    found = [_render(each) for each in _run(ctx, work)]
    if json:
        print_json(found)
    elif found:
        rows = [
            {**each, "filters": " ".join(f"{key}={value}" for key, value in each["filters"].items())} for each in found
        ]
        print_table(LIST_COLUMNS, [[str(row[column]) for column in LIST_COLUMNS] for row in rows])
    else:
        print("No triggers yet: `slack-mcp triggers add` makes one, and so does an automation in Mesh.")


@cli.command()
def remove(ctx: typer.Context, trigger_id: Id, *, connection_id: Connection) -> None:
    """Remove a trigger; what is still on its way to it is not sent any more."""

    async def work(admin: Admin, subscriptions: "Subscriptions") -> None:
        whose = choose_connection(connection_id)
        async with audited(admin.audit, "triggers remove", connection_id=whose, target=trigger_id):
            if not await subscriptions.remove(whose, trigger_id):
                raise InvalidInputError(
                    f"There is no trigger {trigger_id!r}: `slack-mcp triggers list` shows those there are."
                )

    _run(ctx, work)
    print(f"Removed {trigger_id}.")


@cli.command("test")
def check_receiver(ctx: typer.Context, trigger_id: Id, *, connection_id: Connection, json: Json = False) -> None:
    """Send a receiver an event that did not happen (its data has `test: true`), and show the status it answers with."""

    async def work(_admin: Admin, subscriptions: "Subscriptions") -> int:
        return await subscriptions.send_test(choose_connection(connection_id), trigger_id)

    result = {"trigger_id": trigger_id, "status": _run(ctx, work)}
    print_json(result) if json else print_fields(result)


def _run(ctx: typer.Context, work: Callable[[Admin, "Subscriptions"], Awaitable[T]]) -> T:
    """Run work on the receivers and return what it returns."""
    seam: Seam = ctx.obj

    async def open_and_work(admin: Admin, _settings: "Settings") -> T:
        async with admin.open_subscriptions() as subscriptions:
            return await work(admin, subscriptions)

    return seam.run_admin(open_and_work)


def _read_filter(text: str) -> tuple[str, str]:
    """Return (key, value) of `key=value`."""
    key, separator, value = text.partition("=")
    if not (key and separator and value):
        raise InvalidInputError(f"--filter takes KEY=VALUE, not {text!r}.")
    return key, value


def _render(trigger: Trigger) -> dict[str, Any]:
    """Return a trigger as plain data, without its secret."""
    refused_at_ms = trigger.refused_at_ms
    return {
        "trigger": trigger.trigger_id,
        "kind": trigger.kind.value,
        "event": trigger.event_type,
        "url": trigger.url,
        "filters": dict(trigger.filters),
        "state": "active" if refused_at_ms is None else f"refused since {render_time(refused_at_ms)}",
    }
