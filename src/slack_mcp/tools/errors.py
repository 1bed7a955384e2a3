"""What a caller reads when a tool fails: what happened, and what to do next.

A text goes to a model and to whoever reads its transcript, so it is made here and nowhere else: an error that is about
the service itself is told in fixed words, because its message is for the operator.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from slack_mcp.core import errors
from slack_mcp.core.errors import SlackMcpError
from slack_mcp.tools.advice import find_advice

OPERATOR: Final = "Tell the operator of this service; trying again changes nothing."


class Row(NamedTuple):
    """How one class of errors is told.

    Attributes:
        advice: what to do next.
        what: what happened, with the error's fields in braces; None takes the error's own message.
    """

    advice: str
    what: str | None = None


_AGAIN: Final = "Try again in a moment."
_NO_DELIVERY: Final = "The request is not a delivery of Slack."
_SLACK_SAID: Final = "Slack answered {slack_error} to {method}."

TABLE: Final[Mapping[type[SlackMcpError], Row]] = MappingProxyType(
    {
        errors.InvalidInputError: Row("Correct the arguments and call again."),
        errors.UnauthenticatedError: Row(
            "This acts for a connection: call it through Mesh, which sends the connection's token, or with an API key."
        ),
        errors.ForbiddenError: Row("Choose something that this connection may do."),
        errors.ConnectionNotFoundError: Row(
            "Fill in and save the connection's settings in Mesh.", "This connection is not configured yet."
        ),
        errors.UserTokenMissingError: Row("Add a user token to the connection's settings, or do without this."),
        errors.ApprovalPendingError: Row(
            "Say that you wait for the click. The same call with the same arguments goes on after it; do not try "
            "another way."
        ),
        errors.ConflictError: Row("Read the current state and decide again."),
        errors.SignatureMissingError: Row(OPERATOR, _NO_DELIVERY),
        errors.SignatureMismatchError: Row(OPERATOR, _NO_DELIVERY),
        errors.TimestampSkewError: Row(OPERATOR, _NO_DELIVERY),
        errors.BodyTooLargeError: Row(OPERATOR, _NO_DELIVERY),
        errors.MalformedBodyError: Row(OPERATOR, _NO_DELIVERY),
        errors.RateLimitedError: Row("Wait that long, then call again."),
        errors.TokenRevokedError: Row(
            "Reinstall the Slack app and save the new bot token in the connection's settings in Mesh.",
            _SLACK_SAID,
        ),
        errors.MissingScopeError: Row("Then save the connection again: the scopes are read when it is."),
        errors.SlackRefusedError: Row("The same call fails again: change what the word names.", _SLACK_SAID),
        errors.SlackUnavailableError: Row(
            "Whether the call took effect is unknown: look before you repeat something that writes.",
            "Slack did not answer.",
        ),
        errors.AgentNotConfiguredError: Row("Choose an agent in the connection's settings in Mesh."),
        errors.AgentRefusedError: Row("The same request fails again.", "The agent's server refused the request."),
        errors.AgentRateLimitedError: Row("Wait that long, then call again."),
        errors.AgentStreamBrokenError: Row(_AGAIN, "The agent's answer broke off."),
        errors.AgentTimeoutError: Row(_AGAIN, "The agent did not finish in time."),
        errors.AgentUnavailableError: Row(_AGAIN, "The agent's server cannot be reached."),
        errors.MeshRefusedError: Row(
            "Look whether the user who saved the connection may do this in Mesh.", "Mesh refused the request."
        ),
        errors.MeshUnavailableError: Row(_AGAIN, "Mesh cannot be reached."),
        errors.TriggerRefusedError: Row("Look at the trigger's receiver.", "The trigger's receiver refused the event."),
        errors.TriggerRateLimitedError: Row("Wait that long, then call again."),
        errors.TriggerUnavailableError: Row(_AGAIN, "The trigger's receiver cannot be reached."),
        errors.StoreUnavailableError: Row(_AGAIN, "The database cannot be reached."),
        errors.LeaseLostError: Row(_AGAIN, "Another process took the work over."),
        errors.SchemaOutdatedError: Row(OPERATOR, "The database is not ready for this version of the service."),
        errors.MigrationFailedError: Row(OPERATOR, "The database is not ready for this version of the service."),
        errors.BackupDamagedError: Row(OPERATOR, "A backup is damaged."),
        errors.BackupUnavailableError: Row(OPERATOR, "A backup cannot be read or written."),
        errors.SealingError: Row(OPERATOR, "A stored secret cannot be opened."),
        errors.InternalError: Row(OPERATOR, "The call failed inside the service."),
        errors.OverloadedError: Row(_AGAIN, "The service has as much work in hand as it takes."),
        errors.IssuerUnavailableError: Row(_AGAIN, "The issuer of the access token cannot be reached."),
        errors.SettingsError: Row(OPERATOR, "The service is not set up correctly."),
    }
)


def render_error(error: SlackMcpError) -> str:
    """Return the text for a tool's error result."""
    row = TABLE.get(type(error))
    if row is None:
        return f"The call failed ({error.code}). {OPERATOR}"
    what = str(error) if row.what is None else row.what.format_map(vars(error))
    return f"{what} {find_advice(error) or row.advice}"


def render_crash(reference: str) -> str:
    """Return the text for an error that nobody foresaw; the log has the rest under the same reference."""
    return f"The call failed inside the service (reference {reference}). {OPERATOR}"


def render_timeout(limit_s: float) -> str:
    """Return the text for a call that was given up."""
    return f"The call did not finish within {limit_s:.0f} s. Look whether it took effect before you repeat it."
