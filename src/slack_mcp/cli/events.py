"""`slack-mcp events …`: look at the journal, put events back to be worked on, end them."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from slack_mcp.cli.acts import find_actor
from slack_mcp.cli.ask import check_text, choose_connection
from slack_mcp.cli.render import print_json, print_table, render_time
from slack_mcp.cli.seam import Admin, Seam
from slack_mcp.cli.story import render_story, tell_story
from slack_mcp.cli.times import read_time
from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.ids import ChannelId, EventId
from slack_mcp.core.model import EventState
from slack_mcp.inbox.operate import Operator, Rules, Verdict
from slack_mcp.ports.operations import Ending, EventFilter, KeptEvent

if TYPE_CHECKING:
    from slack_mcp.settings import Settings

MAX_LISTED: Final = 10_000
MS_PER_MIN: Final = 60_000
EXIT_NOTHING: Final = 1
EXIT_LEFT: Final = 3
MAX_NAMED: Final = 10
COLUMNS: Final = ("number", "received", "connection", "event", "type", "state", "reason", "attempts")

SAID: Final[Mapping[StrEnum, str]] = {
    Verdict.PUT_BACK: "worked on again",
    Verdict.ASKED_AGAIN: "asked again: another answer takes the place of the one in the thread",
    Verdict.UNFINISHED: "left alone: not finished yet",
    Verdict.ANSWERED: "left alone: the whole answer is in the thread (--again has it replaced)",
    Verdict.DONE: "left alone: done (--again has it done again)",
    Verdict.SAME_MESSAGE: "left alone: the message's other event is the one that is answered",
    Verdict.LATELY: "left alone: done again a short while ago (--lately-min 0 has it done once more)",
    Verdict.CHANGED: "left alone: somebody else changed it in this moment",
    Verdict.SHADOWED: "answered in the shadow channel, if it is for the bot",
    Verdict.NO_MESSAGE: "left alone: no message",
    Verdict.UNREADABLE: "left alone: its payload does not open",
    Verdict.IN_SHADOW: "left alone: it was put into the shadow channel before",
    Ending.DISCARDED: "ended as skipped (discarded)",
    Ending.IN_WORK: "left alone: a pod works on its lane now",
    Ending.CHANGED: "left alone: somebody else changed it in this moment",
}

cli = typer.Typer(help="List, show, replay or discard journalled events.", no_args_is_help=True)

ConnectionOption = Annotated[str | None, typer.Option("--connection", help="Of this connection only.")]
StateOption = Annotated[list[EventState] | None, typer.Option("--state", help="In this state; may be repeated.")]
CodeOption = Annotated[
    list[str] | None, typer.Option("--code", help="With this reason or error code; may be repeated.")
]
TypeOption = Annotated[list[str] | None, typer.Option("--type", help="Of this type, such as app_mention.")]
SinceOption = Annotated[
    str | None, typer.Option(help="Received at this time or later: 2026-01-31T12:00:00Z, or 2h for two hours ago.")
]
UntilOption = Annotated[str | None, typer.Option(help="Received before this time.")]
IdsArgument = Annotated[list[str] | None, typer.Argument(metavar="[EVENT_ID]...", help="These events only.")]
LimitOption = Annotated[int | None, typer.Option(help="Look at so many events at most, the oldest first.", min=1)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing, and say what would be done.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@cli.command("list")
def list_(
    ctx: typer.Context,
    *,
    connection_id: ConnectionOption = None,
    state: StateOption = None,
    code: CodeOption = None,
    event_type: TypeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    before: Annotated[int | None, typer.Option(help="Only events older than the one with this number.")] = None,
    limit: Annotated[int, typer.Option(help="Most events to print.", min=1, max=MAX_LISTED)] = 50,
    json: Json = False,
) -> None:
    """List events, the newest first."""
    chosen = _choose(
        connection_id=connection_id, states=state, codes=code, event_types=event_type, since=since, until=until
    )

    async def work(admin: Admin, _settings: "Settings") -> Sequence[KeptEvent]:
        return await admin.operations.list_events(chosen, before_id=before, limit=limit)

    seam: Seam = ctx.obj
    found = seam.run_admin(work)
    if json:
        print_json([_render(event) for event in found])
        return
    if not found:
        print("No such events.")
        return
    print_table(COLUMNS, [[str(value if value is not None else "") for value in _list_cells(each)] for each in found])
    if len(found) == limit:
        typer.echo(f"There may be more: --before {found[-1].id} goes on.", err=True)


@cli.command()
def show(
    ctx: typer.Context,
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="As `list` shows it.")],
    *,
    connection_id: ConnectionOption = None,
    payload: Annotated[
        bool, typer.Option("--payload", help="Also print the event as it was delivered, with what people wrote.")
    ] = False,
    json: Json = False,
) -> None:
    """Tell all that is known of an event, as `why` does; without --payload nothing of what anybody wrote."""
    chosen = _read_word("EVENT_ID", event_id)

    async def work(admin: Admin, _settings: "Settings") -> Sequence[tuple[Any, bytes | None]]:
        found = await admin.explainer.explain_event(EventId(chosen))
        return [
            (
                each,
                await admin.operations.load_payload(each.connection_id, each.id) if payload else None,
            )
            for each in found
            if connection_id is None or each.connection_id == connection_id
        ]

    seam: Seam = ctx.obj
    found = seam.run_admin(work)
    if payload and found:
        typer.echo("What follows holds what people wrote: treat it as their messages.", err=True)
    if json:
        print_json([{**render_story(event), **_render_payload(body)} for event, body in found])
    elif found:
        stories = ["\n".join([*tell_story(event), *([] if body is None else [_decode(body)])]) for event, body in found]
        print("\n\n".join(stories))
    else:
        print("No such event.")
    if not found:
        raise typer.Exit(EXIT_NOTHING)


@cli.command()
def replay(
    ctx: typer.Context,
    event_ids: IdsArgument = None,
    *,
    connection_id: ConnectionOption = None,
    state: StateOption = None,
    code: CodeOption = None,
    event_type: TypeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: LimitOption = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Also what is done: another answer takes the place of the one in the thread."),
    ] = False,
    lately_min: Annotated[
        int, typer.Option(help="With --again, leave alone what was done again within so many minutes.", min=0)
    ] = 60,
    shadow_channel: Annotated[
        str | None,
        typer.Option(
            metavar="CHANNEL_ID",
            help="Answer in this channel of the workspace, and change nothing where it was asked. Needs --connection.",
        ),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Put finished events back to be worked on with the present settings; dead ones, unless others are chosen."""
    if shadow_channel is not None and (connection_id is None or again):
        raise InvalidInputError(
            "--shadow-channel goes with --connection, because a channel is of one workspace, and without --again."
        )
    shadow = None if shadow_channel is None else ChannelId(_read_word("--shadow-channel", shadow_channel))
    chosen = _choose(
        event_ids,
        connection_id=connection_id,
        states=state,
        codes=code,
        event_types=event_type,
        since=since,
        until=until,
        otherwise=(EventState.DEAD,),
    )
    rules = Rules(again=again, lately_ms=lately_min * MS_PER_MIN)
    seam: Seam = ctx.obj
    _confirm(seam, "Replay", chosen, yes=yes or dry_run or bool(event_ids))

    async def work(admin: Admin, _settings: "Settings") -> list[tuple[KeptEvent, StrEnum]]:
        operator = _make_operator(admin)
        if shadow is not None:
            return await _collect(operator.shadow(chosen, shadow, limit=limit, dry_run=dry_run))
        return await _collect(operator.replay(chosen, rules, limit=limit, dry_run=dry_run))

    _report(seam.run_admin(work), {each for each in Verdict if each.is_worked_on}, dry_run=dry_run, json=json)


@cli.command()
def discard(
    ctx: typer.Context,
    event_ids: IdsArgument = None,
    *,
    connection_id: ConnectionOption = None,
    state: StateOption = None,
    code: CodeOption = None,
    event_type: TypeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: LimitOption = None,
    because: Annotated[str | None, typer.Option(help="Kept with each of them, for whoever asks later.")] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """End events for which nothing is to be done any more; waiting and dead ones, unless `received` is chosen."""
    ends = (EventState.WAITING, EventState.DEAD)
    if {EventState.DONE, EventState.SKIPPED} & set(state or ()):
        raise InvalidInputError("What is done or skipped has ended already: --state takes received, waiting and dead.")
    chosen = _choose(
        event_ids,
        connection_id=connection_id,
        states=state or ends,
        codes=code,
        event_types=event_type,
        since=since,
        until=until,
    )
    detail = check_text("--because", because)
    seam: Seam = ctx.obj
    _confirm(seam, "Discard", chosen, yes=yes or dry_run or bool(event_ids))

    async def work(admin: Admin, _settings: "Settings") -> list[tuple[KeptEvent, StrEnum]]:
        operator = _make_operator(admin)
        return await _collect(operator.discard(chosen, detail=detail, limit=limit, dry_run=dry_run))

    _report(seam.run_admin(work), {Ending.DISCARDED}, dry_run=dry_run, json=json)


def _make_operator(admin: Admin) -> Operator:
    return Operator(operations=admin.operations, journal=admin.journal, audit=admin.audit, actor=find_actor())


def _choose(
    event_ids: list[str] | None = None,
    *,
    connection_id: str | None,
    states: Sequence[EventState] | None,
    codes: list[str] | None,
    event_types: list[str] | None,
    since: str | None,
    until: str | None,
    otherwise: tuple[EventState, ...] = (),
) -> EventFilter:
    """Return the filter that the options make; without states and ids it is `otherwise`. Raises InvalidInputError."""
    now = datetime.now(UTC)
    since_ms, until_ms = read_time("--since", since, now=now), read_time("--until", until, now=now)
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise InvalidInputError("--since must be before --until.")
    return EventFilter(
        connection_id=None if connection_id is None else choose_connection(connection_id),
        event_ids=tuple(EventId(_read_word("EVENT_ID", each)) for each in event_ids or ()),
        states=tuple(states or (() if event_ids else otherwise)),
        reasons=tuple(_read_word("--code", each) for each in codes or ()),
        event_types=tuple(_read_word("--type", each) for each in event_types or ()),
        since_ms=since_ms,
        until_ms=until_ms,
    )


def _read_word(option: str, text: str) -> str:
    """Return what an option names; raises InvalidInputError for what no database could hold."""
    word = (check_text(option, text) or "").strip()
    if not word:
        raise InvalidInputError(f"{option} must not be empty.")
    return word


def _confirm(seam: Seam, what: str, chosen: EventFilter, *, yes: bool) -> None:
    """Ask before many events are changed; raises InvalidInputError where nobody can be asked."""
    if yes:
        return
    if not seam.is_terminal:
        raise InvalidInputError("Name the events, or say --yes; --dry-run shows what would be done.")
    typer.confirm(f"{what} {_describe(chosen)}?", abort=True)


def _describe(chosen: EventFilter) -> str:
    parts = [
        f"all {' and '.join(chosen.states)} events" if chosen.states else "all events",
        "" if chosen.connection_id is None else f"of {chosen.connection_id}",
        f"with {' or '.join(chosen.reasons)}" if chosen.reasons else "",
        f"of type {' or '.join(chosen.event_types)}" if chosen.event_types else "",
        "" if chosen.since_ms is None else f"from {render_time(chosen.since_ms)} on",
        "" if chosen.until_ms is None else f"before {render_time(chosen.until_ms)}",
    ]
    return " ".join(filter(None, parts))


async def _collect(batches: AsyncIterator[Sequence[tuple[KeptEvent, Any]]]) -> list[tuple[KeptEvent, StrEnum]]:
    """Return what became of all events, and say after each batch how far it has come."""
    found: list[tuple[KeptEvent, StrEnum]] = []
    async for batch in batches:
        found += batch
        typer.echo(f"{len(found)} looked at, up to {render_time(batch[-1][0].received_at_ms)}", err=True)
    return found


def _report(found: Sequence[tuple[KeptEvent, StrEnum]], wanted: set[Any], *, dry_run: bool, json: bool) -> None:
    """Print what became of the events; the exit code says whether there were any, and whether some were left alone."""
    counts = Counter(end for _, end in found)
    if json:
        print_json(
            {
                "dry_run": dry_run,
                "counts": {str(end): count for end, count in sorted(counts.items())},
                "events": [
                    {"connection_id": event.connection_id, "event_id": event.event_id, "outcome": str(end)}
                    for event, end in found
                ],
            }
        )
    elif not found:
        print("No such events.")
    else:
        if dry_run:
            print("Nothing was changed. This would be done:")
        for end, count in sorted(counts.items()):
            ids = [event.event_id for event, each in found if each is end]
            more = f" and {count - MAX_NAMED} more" if count > MAX_NAMED else ""
            print(f"{count}  {SAID[end]}: {', '.join(ids[:MAX_NAMED])}{more}")
    if not found:
        raise typer.Exit(EXIT_NOTHING)
    if set(counts) - wanted:
        raise typer.Exit(EXIT_LEFT)


def _list_cells(event: KeptEvent) -> Sequence[Any]:
    return (
        event.id,
        render_time(event.received_at_ms),
        event.connection_id,
        event.event_id,
        event.event_type,
        event.state,
        event.reason,
        event.attempts,
    )


def _render(event: KeptEvent) -> Mapping[str, Any]:
    """Return an event as plain data."""
    fields = {"number" if name == "id" else name: value for name, value in asdict(event).items()}
    return {
        name.removesuffix("_ms"): render_time(value) if name.endswith("_ms") and value is not None else value
        for name, value in fields.items()
    }


def _render_payload(body: bytes | None) -> Mapping[str, Any]:
    return {} if body is None else {"payload": _decode(body)}


def _decode(body: bytes) -> str:
    return body.decode("utf-8", "backslashreplace")
