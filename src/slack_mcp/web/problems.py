"""The one table from error class to HTTP status and body."""

import json
from types import MappingProxyType
from typing import Final

from slack_mcp.core import errors

STATUS: Final = MappingProxyType(
    {
        errors.SignatureMissingError: 401,
        errors.SignatureMismatchError: 401,
        errors.TimestampSkewError: 401,
        errors.BodyTooLargeError: 413,
        errors.MalformedBodyError: 400,
        errors.InvalidInputError: 400,
        errors.UnauthenticatedError: 401,
        errors.ForbiddenError: 403,
        errors.ConnectionNotFoundError: 404,
        errors.UserTokenMissingError: 409,
        errors.ApprovalPendingError: 409,
        errors.ConflictError: 409,
        errors.RateLimitedError: 503,
        errors.TokenRevokedError: 502,
        errors.MissingScopeError: 502,
        errors.SlackRefusedError: 502,
        errors.SlackUnavailableError: 503,
        errors.AgentNotConfiguredError: 409,
        errors.AgentRefusedError: 502,
        errors.AgentRateLimitedError: 503,
        errors.AgentStreamBrokenError: 502,
        errors.AgentTimeoutError: 504,
        errors.AgentUnavailableError: 503,
        errors.MeshRefusedError: 502,
        errors.MeshUnavailableError: 503,
        errors.TriggerRefusedError: 502,
        errors.TriggerRateLimitedError: 503,
        errors.TriggerUnavailableError: 503,
        errors.StoreUnavailableError: 503,
        errors.LeaseLostError: 503,
        errors.SchemaOutdatedError: 503,
        errors.MigrationFailedError: 500,
        errors.BackupDamagedError: 500,
        errors.BackupUnavailableError: 503,
        errors.SealingError: 500,
        errors.InternalError: 500,
        errors.OverloadedError: 503,
        errors.IssuerUnavailableError: 503,
        errors.SettingsError: 500,
    }
)
"""Each class that is raised, with its status. What is the caller's fault is told; the rest only has its code."""


def get_status(error: errors.SlackMcpError) -> int:
    """Return the HTTP status of an error, 500 for a class without a row."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def render_problem(error: errors.SlackMcpError) -> bytes:
    """Return the JSON body: `{"error": code}`, and a `message` when the caller can mend it.

    What is wrong on our side stays in the log: another tenant, or the network, learns nothing of it.
    """
    body = {"error": error.code}
    if isinstance(error, errors.RequestError | errors.DeliveryError) and not isinstance(
        error, errors.ConnectionNotFoundError
    ):
        body["message"] = str(error)
    return json.dumps(body).encode()
