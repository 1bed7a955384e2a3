"""The key ring may come from a program, which is run once, without a shell, and of whose words nothing is repeated."""

import shlex
import sys
from pathlib import Path

import pytest

from slack_mcp.core.errors import SettingsError
from slack_mcp.settings import Settings
from slack_mcp.settings.command import MAX_BYTES, run_command

KEY = "k1:" + "A" * 43 + "="
OTHER = "k2:" + "B" * 42 + "E="


def command(program: str) -> str:
    return shlex.join([sys.executable, "-c", program])


def read(**environ: str) -> Settings:
    return Settings.from_env(environ, dotenv=None)


def problems_of(**environ: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        read(**environ)
    return caught.value.problems


def test_what_the_program_prints_is_the_ring() -> None:
    settings = read(ENCRYPTION_KEYS_COMMAND=command(f"print('{OTHER}'); print('{KEY}')"))
    assert settings.key_ring is not None
    assert settings.key_ring.key_ids == ("k2", "k1")


def test_the_program_sees_the_environment_and_no_shell_reads_its_arguments() -> None:
    program = f"import os, sys; print('{KEY}' if (os.environ['VAULT'], sys.argv[1]) == ('v', '$(exit 3); |') else '')"
    line = shlex.join([sys.executable, "-c", program, "$(exit 3); |"])
    ring = read(ENCRYPTION_KEYS_COMMAND=line, VAULT="v").key_ring
    assert ring is not None
    assert ring.key_ids == ("k1",)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("'open", "ENCRYPTION_KEYS_COMMAND cannot be split into words: a quote is not closed."),
        ("/no/such/program", "ENCRYPTION_KEYS_COMMAND: the program cannot be run (No such file or directory)."),
        (command("print()"), "ENCRYPTION_KEYS_COMMAND: the program printed nothing."),
        (
            command(f"print('x' * {MAX_BYTES})"),
            f"ENCRYPTION_KEYS_COMMAND: the program printed more than {MAX_BYTES} bytes.",
        ),
        (
            command("import sys; sys.stdout.buffer.write(bytes([255]))"),
            "ENCRYPTION_KEYS_COMMAND: what the program printed is not UTF-8 text.",
        ),
    ],
)
def test_what_is_wrong_with_the_command_is_told(line: str, said: str) -> None:
    assert problems_of(ENCRYPTION_KEYS_COMMAND=line) == (said,)


def test_a_program_that_fails_is_told_by_its_exit_code_and_not_in_its_own_words(
    capfd: pytest.CaptureFixture[str],
) -> None:
    line = command(f"import sys; print('{KEY}'); print('canary', file=sys.stderr); sys.exit(3)")
    (problem,) = problems_of(ENCRYPTION_KEYS_COMMAND=line)
    assert problem.startswith("ENCRYPTION_KEYS_COMMAND: the program failed (exit code 3).")
    assert "canary" not in problem + "".join(capfd.readouterr())


def test_a_program_that_does_not_end_is_given_up() -> None:
    text, problem = run_command("KEYS_COMMAND", command("import time; time.sleep(600)"), {}, timeout_s=0.2)
    assert (text, problem) == ("", "KEYS_COMMAND: the program did not end within 0.2 s.")


def test_keys_that_the_program_gets_wrong_are_told_without_them() -> None:
    (problem,) = problems_of(ENCRYPTION_KEYS_COMMAND=command("print('k1:canary')"))
    assert problem.startswith("ENCRYPTION_KEYS, entry 1: the key k1 must be 32 random bytes")
    assert "canary" not in problem


def test_the_ring_has_one_source(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(KEY)
    ran = tmp_path / "ran"
    line = command(f"open({str(ran)!r}, 'w')")
    assert problems_of(ENCRYPTION_KEYS=KEY, ENCRYPTION_KEYS_COMMAND=line) == (
        "ENCRYPTION_KEYS and ENCRYPTION_KEYS_COMMAND are both set: remove one.",
    )
    assert problems_of(ENCRYPTION_KEYS_FILE=str(path), ENCRYPTION_KEYS_COMMAND=line) == (
        "ENCRYPTION_KEYS_FILE and ENCRYPTION_KEYS_COMMAND are both set: remove one.",
    )
    assert problems_of(ENCRYPTION_KEYS=KEY, ENCRYPTION_KEYS_FILE=str(path), ENCRYPTION_KEYS_COMMAND=line) == (
        "ENCRYPTION_KEYS and ENCRYPTION_KEYS_FILE and ENCRYPTION_KEYS_COMMAND are all set: keep one.",
    )
    assert not ran.exists()


def test_the_environment_hides_a_command_in_the_env_file(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("ENCRYPTION_KEYS_COMMAND=/no/such/program\n")
    ring = Settings.from_env({"ENCRYPTION_KEYS": KEY}, dotenv=dotenv).key_ring
    assert ring is not None
    assert ring.key_ids == ("k1",)
