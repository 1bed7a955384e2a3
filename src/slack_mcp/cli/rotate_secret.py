"""`slack-mcp connections rotate-secret`: a new signing secret, with the one before good for a while or no longer."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slack_mcp.cli.acts import audited
from slack_mcp.cli.ask import check_signing_secret, find_secret
from slack_mcp.cli.seam import Admin, Seam
from slack_mcp.core.errors import InvalidInputError

if TYPE_CHECKING:
    from slack_mcp.core.model import Connection


def rotate_secret(
    ctx: typer.Context,
    connection_id: Annotated[str, typer.Argument(metavar="CONNECTION_ID", help="The connection's id.")],
    *,
    signing_secret_file: Annotated[Path | None, typer.Option(help="File with the new signing secret.")] = None,
    is_at_once: Annotated[
        bool,
        typer.Option(
            "--at-once",
            help="Accept the secret before no longer, also without a new one: it got into the wrong hands.",
        ),
    ] = False,
) -> None:
    """Give a connection a new signing secret; the one before is accepted for SLACK_MCP_SIGNING_SECRET_OVERLAP_S.

    It is asked for, or comes from a file. Slack is not asked: this works whatever has become of the token.
    """
    from slack_mcp.core.clock import SystemClock

    seam: Seam = ctx.obj
    overlap_s = 0.0 if is_at_once else seam.load_settings().signing_secret_overlap_s
    secret = find_secret(
        "New signing secret",
        file=signing_secret_file,
        environment=None,
        is_terminal=seam.is_terminal,
        may_skip=is_at_once,
    )
    if secret is None and not is_at_once:
        raise InvalidInputError("The new signing secret is missing: give --signing-secret-file.")
    if secret is not None:
        check_signing_secret(secret)

    async def work(admin: Admin, connection: "Connection") -> None:
        is_new = secret is not None and secret != connection.signing_secret
        if not is_new and not is_at_once:
            raise InvalidInputError("The connection has this signing secret already: nothing was changed.")
        async with audited(admin.audit, "connections rotate-secret", connection_id=connection.connection_id):
            await admin.connections.save_connection(
                replace(
                    connection,
                    signing_secret=secret or connection.signing_secret,
                    previous_signing_secret=connection.signing_secret if is_new and overlap_s > 0 else None,
                    previous_signing_secret_until_s=SystemClock().now_s() + overlap_s if overlap_s > 0 else None,
                )
            )

    seam.run_on_connection(connection_id, work)
    kept = f"is accepted for another {overlap_s:g} s" if overlap_s > 0 else "is refused from now on"
    print(f"{connection_id}: the signing secret before {kept}.")
