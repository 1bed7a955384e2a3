"""Where the commands get what the user gives: secrets from a file, the environment or a prompt, never an argument."""

import json
import re
from pathlib import Path
from typing import Any, Final

import typer

from slack_mcp.core.errors import ConnectionNotFoundError, InvalidInputError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.secret import Secret

BOT_TOKEN_PREFIX: Final = "xoxb-"  # noqa: S105 - the kind of token, from https://docs.slack.dev/authentication/tokens
EXPIRING_TOKEN_PREFIX: Final = "xoxe.xoxb-"  # noqa: S105 - https://docs.slack.dev/authentication/using-token-rotation
REFRESH_TOKEN_PREFIX: Final = "xoxe-"  # noqa: S105 - the same page
USER_TOKEN_PREFIX: Final = "xoxp-"  # noqa: S105 - the same page
# Part of the Request URL, so that it must need no escaping there: https://www.rfc-editor.org/rfc/rfc3986#section-2.3
_ID: Final = re.compile(r"[A-Za-z0-9._~-]{1,200}")


def find_secret(
    label: str, *, file: Path | None, environment: Secret | None, is_terminal: bool, may_skip: bool = False
) -> Secret | None:
    """Return a secret: from its file, else from the environment, else from whoever sits at the terminal.

    Args:
        label: what it is, for people.
        file: of the option.
        environment: what the settings hold of it.
        is_terminal: whether somebody can be asked.
        may_skip: whether an empty answer will do.

    Returns:
        None when none of them has it.

    Raises:
        InvalidInputError: the file cannot be read, or holds nothing.
    """
    if file is not None:
        text = read_text(label, file).strip()
        if not text:
            raise InvalidInputError(f"{label}: {file} is empty.")
        return Secret(text)
    if environment:
        return Secret(environment.reveal().strip())
    if not is_terminal:
        return None
    question = f"{label}; Enter keeps the stored one" if may_skip else label
    answer: str = typer.prompt(question, hide_input=True, default="" if may_skip else None, show_default=False)
    return Secret(answer.strip()) if answer.strip() or not may_skip else None


def check_bot_token(token: Secret) -> Secret:
    """Return the token, unless it is of another kind; raises InvalidInputError."""
    if not token.reveal().startswith((BOT_TOKEN_PREFIX, EXPIRING_TOKEN_PREFIX)):
        raise InvalidInputError(
            f"A bot token starts with {BOT_TOKEN_PREFIX}: copy 'Bot User OAuth Token' from the app's page 'OAuth & "
            "Permissions'."
        )
    return _check_credential("The bot token", token)


def check_refresh_token(token: Secret) -> Secret:
    """Return the token, unless it is of another kind; raises InvalidInputError."""
    if not token.reveal().startswith(REFRESH_TOKEN_PREFIX):
        raise InvalidInputError(
            f"A refresh token starts with {REFRESH_TOKEN_PREFIX}: it comes with the bot token of an app whose tokens "
            "expire, in the answer to oauth.v2.access or oauth.v2.exchange."
        )
    return _check_credential("The refresh token", token)


def check_client_secret(secret: Secret) -> Secret:
    """Return the client secret, unless it cannot be one; raises InvalidInputError."""
    return _check_credential("The client secret", secret)


def check_user_token(token: Secret) -> Secret:
    """Return the token, unless it is of another kind; raises InvalidInputError."""
    if not token.reveal().startswith(USER_TOKEN_PREFIX):
        raise InvalidInputError(
            f"A user token starts with {USER_TOKEN_PREFIX}: copy 'User OAuth Token' from the app's page 'OAuth & "
            "Permissions'."
        )
    return _check_credential("The user token", token)


def check_signing_secret(secret: Secret) -> Secret:
    """Return the signing secret, unless it cannot be one; raises InvalidInputError."""
    return _check_credential("The signing secret", secret)


def check_connection_id(text: str) -> ConnectionId:
    """Return the text as the id of a new connection; raises InvalidInputError."""
    if not _ID.fullmatch(text):
        raise InvalidInputError(
            "--id becomes part of the Request URL: 1 to 200 letters, digits and characters of '-._~' are allowed."
        )
    return ConnectionId(text)


def choose_connection(text: str) -> ConnectionId:
    """Return the id of a connection that may exist; raises ConnectionNotFoundError for what no database could hold."""
    if not text.isprintable():
        raise ConnectionNotFoundError(ConnectionId(text))
    return ConnectionId(text)


def check_text(option: str, text: str | None) -> str | None:
    """Return the text, unless a database could not store it; raises InvalidInputError."""
    # What of an argument is not UTF-8 reaches Python as lone surrogates.
    if text is not None and ("\x00" in text or any("\ud800" <= char <= "\udfff" for char in text)):
        raise InvalidInputError(f"{option} must be UTF-8 text without NUL characters.")
    return text


def read_text(label: str, file: Path) -> str:
    """Return what is in a file; raises InvalidInputError."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{label}: {file} cannot be read ({type(error).__name__}).") from error


def read_json(label: str, file: Path) -> dict[str, Any]:
    """Return the JSON object that is in a file; raises InvalidInputError."""
    try:
        found = json.loads(read_text(label, file))
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{label}: {file} is not JSON.") from error
    if not isinstance(found, dict):
        raise InvalidInputError(f"{label}: {file} is not a JSON object.")
    return found


def _check_credential(label: str, secret: Secret) -> Secret:
    # It goes into an HTTP header or an HMAC key: anything but visible ASCII was not copied from Slack.
    text = secret.reveal()
    if not (text and text.isascii() and text.isprintable() and " " not in text):
        raise InvalidInputError(f"{label} must be one word of ASCII characters: copy it from the app's page again.")
    return secret
