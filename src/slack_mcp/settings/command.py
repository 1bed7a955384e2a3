"""A secret from a command, such as one that asks a key management service."""

import shlex
import subprocess
from collections.abc import Mapping
from typing import Final

COMMAND: Final = "_COMMAND"
TIMEOUT_S: Final = 10.0
MAX_BYTES: Final = 65_536


def run_command(
    name: str, command: str, environ: Mapping[str, str], *, timeout_s: float = TIMEOUT_S
) -> tuple[str, str | None]:
    """Return what a command prints, and what is wrong.

    It runs without a shell, with the environment that the settings come from and nothing to read. What it says on
    standard error may quote the secret or the token that it was fetched with, so that nobody keeps it.

    Args:
        name: the setting that holds the command.
        command: program and arguments, quoted as for a shell.
        environ: the command's environment.
        timeout_s: how long it may take.
    """
    try:
        arguments = shlex.split(command)
        done = subprocess.run(  # noqa: S603 - the operator's own command, and no shell reads it
            arguments,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
    except ValueError:
        return "", f"{name} cannot be split into words: a quote is not closed."
    except OSError as error:
        return "", f"{name}: the program cannot be run ({error.strerror})."
    except subprocess.TimeoutExpired:
        return "", f"{name}: the program did not end within {timeout_s:g} s."
    if done.returncode:
        return "", f"{name}: the program failed (exit code {done.returncode}). Run it by hand to see what it says."
    return _read(name, done.stdout)


def _read(name: str, output: bytes) -> tuple[str, str | None]:
    """Return the output as text without the last line break, and what is wrong."""
    if len(output) > MAX_BYTES:
        return "", f"{name}: the program printed more than {MAX_BYTES} bytes."
    try:
        text = output.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        return "", f"{name}: what the program printed is not UTF-8 text."
    return text, None if text.strip() else f"{name}: the program printed nothing."
