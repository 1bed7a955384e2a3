"""Errors become exit codes: one line each, and no traceback for what is nobody's bug."""

from typing import Any

import typer
from typer.core import TyperGroup

from slack_mcp.core.errors import SettingsError, SlackMcpError

EXIT_FAILED = 1
EXIT_SETTINGS = 2


class GuardedGroup(TyperGroup):
    """The root command; every command runs inside its `invoke`."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command and turn our own errors into messages and exit codes."""
        try:
            return super().invoke(ctx)
        except SlackMcpError as error:
            _complain(error)
        except BaseExceptionGroup as group:
            # A task group wraps what its tasks raise: one error of ours in it is that error.
            only = find_only_error(group)
            if only is None:
                raise
            _complain(only)


def find_only_error(error: BaseException) -> SlackMcpError | None:
    """Return the error of ours that a group holds, if it holds nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return find_only_error(error.exceptions[0]) if len(error.exceptions) == 1 else None
    return error if isinstance(error, SlackMcpError) else None


def _complain(error: SlackMcpError) -> None:
    """Print an error and leave."""
    from slack_mcp.telemetry import redact_text

    if isinstance(error, SettingsError):
        for problem in error.problems:
            typer.echo(redact_text(problem), err=True)
        raise typer.Exit(EXIT_SETTINGS)
    typer.echo(f"{error.code}: {redact_text(' '.join(str(error).split()))}", err=True)
    raise typer.Exit(EXIT_FAILED)
