"""Where the commands get secrets from: a file, the environment or a prompt, and never an argument."""

from pathlib import Path

import typer

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.secret import Secret

BOT_TOKEN_PREFIX = "xoxb-"  # noqa: S105 - the kind of token, from https://docs.slack.dev/authentication/tokens


def get_secret(
    label: str, *, option: str, variable: str, file: Path | None, environment: Secret | None, is_terminal: bool
) -> Secret:
    """Return a secret: from its file, else from the environment, else from whoever sits at the terminal.

    Raises:
        InvalidInputError: none of them has it.
    """
    if file is not None:
        return _read(label, file)
    if environment:
        return environment
    if not is_terminal:
        raise InvalidInputError(f"{label} is missing: set {variable}, or give {option} with a file that holds it.")
    return Secret(typer.prompt(label, hide_input=True).strip())


def check_bot_token(token: Secret) -> Secret:
    """Return the token, unless it is of another kind."""
    if not token.reveal().startswith(BOT_TOKEN_PREFIX):
        raise InvalidInputError(
            f"A bot token starts with {BOT_TOKEN_PREFIX}: copy 'Bot User OAuth Token' from the app's page 'OAuth & "
            "Permissions'."
        )
    return token


def _read(label: str, file: Path) -> Secret:
    """Return the secret in a file, without the line break at its end."""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{label}: {file} cannot be read ({type(error).__name__}).") from error
    if not text:
        raise InvalidInputError(f"{label}: {file} is empty.")
    return Secret(text)
