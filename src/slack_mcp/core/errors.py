"""Every error of the service, in one tree.

    SlackMcpError
     ├ RequestError            the caller's fault
     │  ├ InvalidInputError
     │  ├ UnauthenticatedError
     │  ├ ForbiddenError
     │  ├ ConnectionNotFoundError
     │  ├ UserTokenMissingError
     │  ├ ApprovalPendingError
     │  └ ConflictError
     ├ DeliveryError           a webhook that is refused
     │  ├ SignatureMissingError
     │  ├ SignatureMismatchError
     │  ├ TimestampSkewError
     │  ├ BodyTooLargeError
     │  └ MalformedBodyError
     ├ SlackApiError           Slack's Web API said no
     │  ├ RateLimitedError
     │  ├ TokenRevokedError
     │  ├ MissingScopeError
     │  ├ SlackRefusedError
     │  └ SlackUnavailableError
     ├ AgentError              the agent gave no answer
     │  ├ AgentNotConfiguredError
     │  ├ AgentRefusedError
     │  ├ AgentRateLimitedError
     │  ├ AgentStreamBrokenError
     │  ├ AgentTimeoutError
     │  └ AgentUnavailableError
     ├ MeshApiError            Mesh's management tools said no
     │  ├ MeshRefusedError
     │  └ MeshUnavailableError
     ├ TriggerError            a trigger's receiver did not take an event
     │  ├ TriggerRefusedError
     │  ├ TriggerRateLimitedError
     │  └ TriggerUnavailableError
     ├ StoreError              the database
     │  ├ StoreUnavailableError
     │  ├ LeaseLostError
     │  ├ SchemaOutdatedError
     │  └ MigrationFailedError
     ├ BackupError             a backup, or where it lies
     │  ├ BackupDamagedError
     │  └ BackupUnavailableError
     ├ SealingError            a secret that cannot be opened
     ├ InternalError           a bug, met while working on one event
     ├ OverloadedError         more work than this pod takes
     ├ IssuerUnavailableError  the OAuth issuer's keys cannot be had
     └ SettingsError           everything wrong with the settings, at once

Each class carries a `code` (stable, for logs and machines) and `retryable` (may the same work succeed later?). A
message never holds a token, a secret, message text or another tenant's id. Programming mistakes stay built-in errors
and crash.
"""

from collections.abc import Sequence
from typing import ClassVar

from slack_mcp.core.ids import ConnectionId


class SlackMcpError(Exception):
    """The root: catch it only where errors are translated, retried or reported."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False


class RequestError(SlackMcpError):
    """The caller asked for something that cannot be done as asked."""

    code = "request_error"


class InvalidInputError(RequestError):
    """An argument is wrong; the message says which and how to mend it."""

    code = "invalid_input"


class UnauthenticatedError(RequestError):
    """The caller did not prove who it is."""

    code = "unauthenticated"


class ForbiddenError(RequestError):
    """The caller is known and may not do this."""

    code = "forbidden"


class ConnectionNotFoundError(RequestError):
    """No connection has this id."""

    code = "connection_not_found"

    def __init__(self, connection_id: ConnectionId) -> None:
        self.connection_id = connection_id
        super().__init__(f"No connection {connection_id!r}: `slack-mcp connections list` shows those that exist.")


class UserTokenMissingError(RequestError):
    """The connection has no user token, and Slack does this for no bot token.

    Args:
        needed: the scopes that the token must have; empty when they are not known.
    """

    code = "user_token_missing"

    def __init__(self, needed: str = "") -> None:
        self.needed = needed
        scopes = f" with the scope {needed}" if needed else ""
        super().__init__(f"Slack does this only with a user token (xoxp-…){scopes}, and the connection has none.")


class ApprovalPendingError(RequestError):
    """A person has to allow this first, and has not yet; the same call again goes on once it is allowed."""

    code = "approval_pending"
    retryable = True


class ConflictError(RequestError):
    """The thing changed, or exists already."""

    code = "conflict"


class DeliveryError(SlackMcpError):
    """A webhook request that is refused before anything is stored."""

    code = "delivery_error"


class SignatureMissingError(DeliveryError):
    """The request carries no Slack signature or no timestamp."""

    code = "signature_missing"

    def __init__(self) -> None:
        super().__init__("The headers X-Slack-Signature and X-Slack-Request-Timestamp are required.")


class SignatureMismatchError(DeliveryError):
    """The signature was not made with this connection's signing secret."""

    code = "signature_mismatch"

    def __init__(self) -> None:
        super().__init__("The request signature does not match: check the connection's signing secret.")


class TimestampSkewError(DeliveryError):
    """The request was signed too long ago, or in the future.

    Args:
        skew_s: seconds between our clock and the request's timestamp.
    """

    code = "timestamp_skew"

    def __init__(self, skew_s: float) -> None:
        self.skew_s = skew_s
        super().__init__(f"The request's timestamp is {abs(skew_s):.0f} s away from this server's clock.")


class BodyTooLargeError(DeliveryError):
    """The request body is larger than any Slack delivery."""

    code = "body_too_large"

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(f"The request body is larger than {limit_bytes} bytes.")


class MalformedBodyError(DeliveryError):
    """The body is correctly signed and still not a Slack envelope."""

    code = "malformed_body"


class SlackApiError(SlackMcpError):
    """A Web API call failed.

    Args:
        method: the Web API method, such as `chat.postMessage`.
        slack_error: Slack's own error code, such as `channel_not_found`.
    """

    code = "slack_api_error"

    def __init__(self, method: str, slack_error: str, message: str | None = None) -> None:
        self.method = method
        self.slack_error = slack_error
        super().__init__(message or f"Slack answered {slack_error} to {method}.")


class RateLimitedError(SlackApiError):
    """Slack asks to wait. Source: https://docs.slack.dev/apis/web-api/rate-limits."""

    code = "slack_rate_limited"
    retryable = True

    def __init__(self, method: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(method, "ratelimited", f"Slack asks to wait {retry_after_s:.0f} s before {method}.")


class TokenRevokedError(SlackApiError):
    """The bot token is not valid any more: nothing will work until it is replaced."""

    code = "slack_token_revoked"


class MissingScopeError(SlackApiError):
    """The bot token lacks a scope.

    Args:
        needed: the scopes Slack asks for, comma separated as Slack gives them.
    """

    code = "slack_missing_scope"

    def __init__(self, method: str, needed: str) -> None:
        self.needed = needed
        super().__init__(
            method, "missing_scope", f"{method} needs the scope {needed}: add it to the app and reinstall."
        )


class SlackRefusedError(SlackApiError):
    """Slack understood the call and refused it (`channel_not_found`, `is_archived`, …): the same call fails again.

    Args:
        details: what Slack says is wrong with the arguments, one sentence each. For the caller alone, who wrote them:
            neither the message nor a log has them.
    """

    code = "slack_refused"

    def __init__(
        self, method: str, slack_error: str, message: str | None = None, *, details: tuple[str, ...] = ()
    ) -> None:
        self.details = details
        super().__init__(method, slack_error, message)


class SlackUnavailableError(SlackApiError):
    """Slack did not answer, or answered with a server error. Whether the call took effect is unknown."""

    code = "slack_unavailable"
    retryable = True


class AgentError(SlackMcpError):
    """The agent gave no answer."""

    code = "agent_error"


class AgentNotConfiguredError(AgentError):
    """The connection names no agent, or lacks what its agent needs; the message says what to configure."""

    code = "agent_not_configured"


class AgentRefusedError(AgentError):
    """The agent's server refused the request: the same request fails again."""

    code = "agent_refused"


class AgentRateLimitedError(AgentError):
    """The agent's server asks to wait."""

    code = "agent_rate_limited"
    retryable = True

    def __init__(self, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"The agent asks to wait {retry_after_s:.0f} s.")


class AgentStreamBrokenError(AgentError):
    """The answer stopped before its end, or was not what the protocol promises."""

    code = "agent_stream_broken"
    retryable = True


class AgentTimeoutError(AgentError):
    """The agent did not finish in the time a turn may take."""

    code = "agent_timeout"
    retryable = True


class AgentUnavailableError(AgentError):
    """The agent's server cannot be reached or answered with a server error."""

    code = "agent_unavailable"
    retryable = True


class MeshApiError(SlackMcpError):
    """A management call to Mesh failed."""

    code = "mesh_api_error"


class MeshRefusedError(MeshApiError):
    """Mesh understood the call and refused it.

    Args:
        is_gone: it does not know the caller's key or organization any more, and will refuse every other call too.
    """

    code = "mesh_refused"

    def __init__(self, message: str, *, is_gone: bool = False) -> None:
        self.is_gone = is_gone
        super().__init__(message)


class MeshUnavailableError(MeshApiError):
    """Mesh cannot be reached or answered with a server error."""

    code = "mesh_unavailable"
    retryable = True


class TriggerError(SlackMcpError):
    """The receiver of a trigger did not take an event."""

    code = "trigger_error"


class TriggerRefusedError(TriggerError):
    """The receiver refused the delivery, or may not be called: the same delivery fails again.

    Args:
        is_gone: it will refuse every other delivery too.
    """

    code = "trigger_refused"

    def __init__(self, message: str, *, is_gone: bool = False) -> None:
        self.is_gone = is_gone
        super().__init__(message)


class TriggerRateLimitedError(TriggerError):
    """The receiver asks to wait."""

    code = "trigger_rate_limited"
    retryable = True

    def __init__(self, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"The trigger's receiver asks to wait {retry_after_s:.0f} s.")


class TriggerUnavailableError(TriggerError):
    """The receiver cannot be reached or failed. Whether it took the event is unknown."""

    code = "trigger_unavailable"
    retryable = True


class StoreError(SlackMcpError):
    """The database."""

    code = "store_error"


class StoreUnavailableError(StoreError):
    """The database cannot be reached, is shutting down, or took too long."""

    code = "store_unavailable"
    retryable = True


class LeaseLostError(StoreError):
    """Another pod holds the lane now; this one may not write for it any more."""

    code = "lease_lost"


class SchemaOutdatedError(StoreError):
    """The database's schema is not the one this version needs."""

    code = "schema_outdated"


class MigrationFailedError(StoreError):
    """A migration stopped; the database is as it was before it.

    Args:
        migration: the migration's name.
        cause: what the database said.
    """

    code = "migration_failed"

    def __init__(self, migration: str, cause: str) -> None:
        self.migration = migration
        super().__init__(
            f"Migration {migration} failed and was rolled back; the database is as it was before. Cause: {cause} "
            f"Mend the cause and start again, or run `slack-mcp migrate status` to see what is applied."
        )


class BackupError(SlackMcpError):
    """A backup, or the place where backups lie."""

    code = "backup_error"


class BackupDamagedError(BackupError):
    """A backup is not what was written: nothing of it may be relied on."""

    code = "backup_damaged"


class BackupUnavailableError(BackupError):
    """The directory or the bucket cannot be read or written, or a database's own tool failed."""

    code = "backup_unavailable"
    retryable = True


class SealingError(SlackMcpError):
    """A sealed value cannot be opened: its key is not at hand, or the value was tampered with or moved.

    Attributes:
        is_destroyed: its key was destroyed on purpose, so that it never opens again.
    """

    code = "sealing_error"
    retryable = True  # a key that was forgotten is put back

    def __init__(self, message: str, *, is_destroyed: bool = False) -> None:
        self.is_destroyed = is_destroyed
        super().__init__(message)


class InternalError(SlackMcpError):
    """A bug was met while working on one event; it must not take the other tenants' events with it."""

    code = "internal_error"


class OverloadedError(SlackMcpError):
    """This pod has as much work in hand as it takes; the caller should try again."""

    code = "overloaded"
    retryable = True


class IssuerUnavailableError(SlackMcpError):
    """The issuer of OAuth access tokens did not give the keys that prove them."""

    code = "issuer_unavailable"
    retryable = True


class SettingsError(SlackMcpError):
    """Everything that is wrong with the settings, found in one go.

    Args:
        problems: one sentence per mistake.
    """

    code = "settings_error"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))
