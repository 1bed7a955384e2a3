"""Where the values come from: the environment, a `.env` file under it, `NAME_FILE` for secrets, a command for keys."""

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from slack_mcp.settings.command import COMMAND, run_command

PREFIX: Final = "SLACK_MCP_"
FILE: Final = "_FILE"

# Kubernetes tells every pod of the Services around it by such variables: one named slack-mcp makes SLACK_MCP_PORT and
# more. Source: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_LINK: Final = re.compile(
    r"SLACK_MCP_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_SERVICE_PORT: Final = re.compile(r"SLACK_MCP_(?:\w+_)?PORT")
_SERVICE_ADDRESS: Final = re.compile(r"(?:tcp|udp|sctp)://")


@dataclass(frozen=True, slots=True)
class Collected:
    """Values by name, as texts, and what is wrong with where they come from. `names` are those that have a problem."""

    values: dict[str, str]
    problems: tuple[str, ...]
    names: frozenset[str]


def collect(
    environ: Mapping[str, str],
    *,
    dotenv: Path | None,
    names: Collection[str],
    secret_names: Collection[str],
    command_names: Collection[str] = (),
) -> Collected:
    """Return the values of the settings that are given. An empty value is as good as none.

    Args:
        environ: the environment; it wins over the `.env` file.
        dotenv: a `.env` file, which need not exist.
        names: all settings.
        secret_names: those that `NAME_FILE` may give.
        command_names: those that what `NAME_COMMAND` prints may give.
    """
    problems: list[str] = []
    merged = {**_read_dotenv(dotenv, environ, problems), **environ}
    given = {name: value for name, value in merged.items() if value.strip()}
    problems += _find_unknown(given, names=names, secret_names=secret_names)
    values = {name: given[name] for name in names if name in given}
    broken = set()
    for name in secret_names:
        sources = [name + suffix for suffix in _list_suffixes(name, command_names) if name + suffix in given]
        if not sources or sources == [name]:
            continue
        text, problem = _read_only_source(name, sources, given, environ)
        if problem:
            problems.append(problem)
            broken.add(name)
            values.pop(name, None)
        else:
            values[name] = text
    return Collected(values, tuple(problems), frozenset(broken))


def _read_dotenv(dotenv: Path | None, environ: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    """Return what the `.env` file adds to the environment."""
    if dotenv is None:
        return {}
    try:
        # Without interpolation: a password may hold a '$', and the file does not read the environment behind our back.
        with dotenv.open(encoding="utf-8") as stream:
            read = dotenv_values(stream=stream, interpolate=False)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{dotenv} cannot be read ({type(error).__name__}): mend it, or remove it.")
        return {}
    # NAME in the environment also hides NAME_FILE and NAME_COMMAND in the file, and the other way round: they are one
    # setting.
    hidden = {_get_setting(name) for name in environ}
    return {name: value for name, value in read.items() if value and _get_setting(name) not in hidden}


def _get_setting(name: str) -> str:
    """Return the setting that a variable gives."""
    return name.removesuffix(FILE).removesuffix(COMMAND)


def _list_suffixes(name: str, command_names: Collection[str]) -> tuple[str, ...]:
    """Return what may stand behind the name of a secret."""
    return ("", FILE, COMMAND) if name in command_names else ("", FILE)


def _read_only_source(
    name: str, sources: list[str], given: Mapping[str, str], environ: Mapping[str, str]
) -> tuple[str, str | None]:
    """Return a secret from the one place that it comes from, and what is wrong."""
    if len(sources) > 1:
        both = "both" if len(sources) == 2 else "all"  # noqa: PLR2004 - a word for it
        return "", f"{' and '.join(sources)} are {both} set: {'remove one' if both == 'both' else 'keep one'}."
    source = sources[0]
    if source == name + COMMAND:
        return run_command(source, given[source], environ)
    return _read_secret(name, given[source])


def _read_secret(name: str, path: str) -> tuple[str, str | None]:
    """Return a secret from its file without the last line break, and what is wrong."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        return "", f"{name}{FILE}: {path} cannot be read ({error.strerror})."
    except UnicodeDecodeError:
        return "", f"{name}{FILE}: {path} is not UTF-8 text."
    text = text.removesuffix("\n").removesuffix("\r")
    return text, None if text.strip() else f"{name}{FILE}: {path} is empty."


def _find_unknown(given: Mapping[str, str], *, names: Collection[str], secret_names: Collection[str]) -> list[str]:
    """Return a sentence for each name that looks like a setting of ours and is none."""
    known = {*names, *(name + FILE for name in secret_names)}
    return [
        f"{name} is not a setting{_suggest(name, known)}"
        for name in sorted(given)
        if name.startswith(PREFIX) and name not in known and not _is_service_link(name, given[name])
    ]


def _is_service_link(name: str, value: str) -> bool:
    """Tell whether Kubernetes made a variable."""
    if _SERVICE_LINK.fullmatch(name):
        return True
    return _SERVICE_PORT.fullmatch(name) is not None and _SERVICE_ADDRESS.match(value) is not None


def _suggest(name: str, known: Collection[str]) -> str:
    """Return the end of the sentence: what was meant, or what else helps."""
    bare = name.removeprefix(PREFIX)
    if bare in known:
        return f"; did you mean {bare}? It has no prefix."
    for spelling in (name, bare):
        close = difflib.get_close_matches(spelling, known, n=1, cutoff=0.8)
        if close:
            return f"; did you mean {close[0]}?"
    return "; `slack-mcp docs settings` lists them all."
