"""Runs an image that buildah has, as a cluster would, and asks what is inside: `make image` ends with it.

The process gets the image's own entry point, environment and user, a root that cannot be written to, and tmpfs on /tmp
and /data. Needs root, or `buildah unshare`; nothing but the standard library and buildah.
"""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

READY_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0
LOOK_S: Final = 0.1

# As root of a mount namespace of its own: the mounts end with the process. `exec` keeps the process id, so that a
# signal reaches what the image starts and no shell in between.
ENTER: Final = """
mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
mount -o remount,bind,ro "$ROOT"
mount -t tmpfs -o mode=1777,size=64m tmpfs "$ROOT/tmp"
mount -t tmpfs -o "mode=0700,size=64m,uid=${OWNER%:*},gid=${OWNER#*:}" tmpfs "$ROOT/data"
mount -t proc proc "$ROOT/proc" 2>/dev/null || mount --rbind /proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
exec chroot --userspec="$OWNER" --groups= "$ROOT" /usr/bin/env -i "$@"
"""

# Bytecode tells in its second word whether it is compared with its source: https://peps.python.org/pep-0552/
FIND_STALE: Final = """
import importlib.util, pathlib, slack_mcp
for source in pathlib.Path(slack_mcp.__file__).parents[1].rglob("*.py"):
    made = pathlib.Path(importlib.util.cache_from_source(source))
    if not made.exists() or made.read_bytes()[4:8] != bytes((1, 0, 0, 0)):
        print(source)
"""


@dataclass(frozen=True, slots=True)
class Image:
    """What the image says of itself, and where its files are."""

    root: Path
    config: dict[str, Any]

    @property
    def user(self) -> str:
        """`uid:gid`."""
        return str(self.config["User"])

    @property
    def command(self) -> list[str]:
        """What it starts."""
        return [*self.config["Entrypoint"], *self.config["Cmd"]]

    def start(self, command: Sequence[str], **variables: str) -> subprocess.Popen[str]:
        """Return a process of the image's user in the image's files, with variables beside the image's."""
        environ = [*self.config["Env"], *(f"{name}={value}" for name, value in variables.items())]
        return subprocess.Popen(
            ["unshare", "--mount", "sh", "-euc", ENTER, "enter", *environ, *command],
            env={**os.environ, "ROOT": str(self.root), "OWNER": self.user},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: Sequence[str], **variables: str) -> tuple[int, str]:
        """Return the exit code and the output of a command."""
        process = self.start(command, **variables)
        output, _ = process.communicate(timeout=READY_TIMEOUT_S)
        return process.returncode, output


def main(name: str, version: str) -> None:
    """Check one image; a failed assertion says what is wrong with it."""
    with open_image(name) as image:
        check_config(image, version)
        check_files(image)
        check_service(image)


@contextmanager
def open_image(name: str) -> Iterator[Image]:
    """Yield the image with its files mounted."""
    config = json.loads(buildah("inspect", "--type", "image", name))["Docker"]["config"]
    container = buildah("from", "--pull-never", name)
    try:
        yield Image(root=Path(buildah("mount", container)), config=config)
    finally:
        buildah("umount", container)
        buildah("rm", container)


def buildah(*words: str) -> str:
    """Return what buildah says to a command."""
    return subprocess.run(["buildah", *words], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def check_config(image: Image, version: str) -> None:
    """Look at what a cluster reads before it starts anything."""
    uid, _, gid = image.user.partition(":")
    assert uid.isdecimal(), f"the user {image.user!r} is no number: runAsNonRoot could not be proved"
    assert int(uid) > 0 < int(gid), image.user
    assert image.config["StopSignal"] == "SIGTERM"
    assert image.config["Healthcheck"]["Test"][0] == "CMD"
    assert list(image.config["Volumes"]) == ["/data"]
    assert image.config["Labels"]["org.opencontainers.image.version"] == version
    told = [word for word in image.config["Env"] if word.startswith(("PIP_", "SSL_", "HTTP"))]
    assert told == [], f"the machine that built it shows in the image: {told}"
    say("user", image.user)
    say("starts", shlex.join(image.command))


def check_files(image: Image) -> None:
    """Look at what is in it, and what may be written to."""
    code, output = image.run(["slack-mcp", "--version"])
    assert (code, output.strip()) == (0, image.config["Labels"]["org.opencontainers.image.version"]), output
    tools = [name for name in ("pip", "hatchling", "pytest", "mypy") if _has_module(image, name)]
    assert tools == [], f"the image has what only its making needs: {tools}"
    code, output = image.run(["python", "-c", FIND_STALE])
    assert (code, output) == (0, ""), f"bytecode that is made again at each start: {output}"
    for path in ("/", "/opt/slack-mcp", "/etc"):
        code, output = image.run(["python", "-c", f"open('{path}/written', 'w')"])
        assert code != 0, f"{path} can be written to"
        assert "Read-only file system" in output, output
    code, output = image.run(["python", "-c", "[open(f'{each}/written', 'w') for each in ('/tmp', '/data')]"])
    assert code == 0, output
    say("may write", "/tmp and /data, and nothing else")  # noqa: S108 - words


def _has_module(image: Image, name: str) -> bool:
    look = "import sys, importlib.util as i; sys.exit(0 if i.find_spec(sys.argv[1]) else 3)"
    code, output = image.run(["python", "-c", look, name])
    assert code in {0, 3}, output
    return code == 0


def check_service(image: Image) -> None:
    """Start it, ask it, and stop it as a cluster does."""
    port = str(find_port())
    began = time.monotonic()
    process = image.start(image.command, PORT=port, HOST="127.0.0.1")
    try:
        answer = wait_until_ready(process, f"http://127.0.0.1:{port}/readyz")
        say("/readyz", f"{answer} after {time.monotonic() - began:.1f} s")
        status = read_status(process.pid)
        uid, gid = image.user.split(":")
        assert set(status["Uid"].split()) == {uid}
        assert set(status["Gid"].split()) == {gid}
        assert int(status["CapEff"], 16) == 0, "the process has capabilities"
        code, output = image.run(image.config["Healthcheck"]["Test"][1:], PORT=port)
        assert code == 0, output
        say("healthcheck", "passes while it serves")
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        output, _ = process.communicate(timeout=STOP_TIMEOUT_S)
        assert process.returncode == 0, output
        assert '"pod.stopped"' in output, output
        say("SIGTERM", f"ended in order after {time.monotonic() - began:.1f} s")
        code, output = image.run(image.config["Healthcheck"]["Test"][1:], PORT=port)
        assert code != 0, "the healthcheck passes when nothing serves"
        say("healthcheck", "fails when nothing serves")
    finally:
        if process.poll() is None:
            process.kill()


def wait_until_ready(process: subprocess.Popen[str], url: str) -> str:
    """Return what the route says as soon as it says 200."""
    last: object = None
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(process.stdout.read() if process.stdout else "it has ended")
        try:
            with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own URL
                return f"{response.status} {response.read().decode()}"
        except (OSError, urllib.error.HTTPError) as error:
            last = error
        time.sleep(LOOK_S)
    raise AssertionError(f"not ready within {READY_TIMEOUT_S:g} s: {last}")


def read_status(pid: int) -> dict[str, str]:
    """Return what the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def find_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def say(what: str, how: str) -> None:
    """Print one finding."""
    sys.stdout.write(f"  {what}: {how}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
