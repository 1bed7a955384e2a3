"""`make conformance`: the official suite and the official inspector, against the fixtures and the product."""

import argparse
import logging
import shutil
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio
from conformance.node import Node
from conformance.serving import serve_fixtures, serve_product
from mcp.shared.exceptions import MCPDeprecationWarning

from slack_mcp.telemetry import configure_logging

# What a server passes, or not, without tools, resources or prompts of the suite's own names.
GENERIC: Final[dict[str, tuple[str, ...]]] = {
    "2025-11-25": (
        "server-initialize",
        "server-session-lifecycle",
        "ping",
        "tools-list",
        "resources-list",
        "prompts-list",
        "dns-rebinding-protection",
    ),
    "2026-07-28": (
        "server-stateless",
        "tools-list",
        "server-sse-multiple-streams",
        "resources-list",
        "sep-2164-resource-not-found",
        "prompts-list",
        "dns-rebinding-protection",
        "caching",
        "http-header-validation",
        "input-required-result-unsupported-methods",
    ),
}


async def check_fixtures(node: Node) -> list[bool]:
    """Return the verdicts on the fixtures: every scenario, and the inspector."""
    async with serve_fixtures() as url:
        verdicts = [await node.check_scenario("fixtures", url, version, None) for version in GENERIC]
        return [*verdicts, await node.check_inspector("fixtures", url, "test_simple_text")]


async def check_product(node: Node, directory: Path) -> list[bool]:
    """Return the verdicts on the product: the generic scenarios, and the inspector."""
    async with serve_product(directory) as (url, token):
        verdicts = [
            await node.check_scenario("product", url, version, scenario, token=token)
            for version, scenarios in GENERIC.items()
            for scenario in scenarios
        ]
        return [*verdicts, await node.check_inspector("product", url, "SLACK_LIST_CHANNELS", token=token)]


async def check(home: Path, only: str | None) -> bool:
    """Run everything and return whether it is as expected."""
    results = home / "results"
    shutil.rmtree(results, ignore_errors=True)
    verdicts: list[bool] = []
    with TemporaryDirectory(prefix="conformance-") as name:
        directory = Path(name)
        node = Node(home, results=results, directory=directory)
        if only != "product":
            verdicts += await check_fixtures(node)
        if only != "fixtures":
            verdicts += await check_product(node, directory)
    print(f"{verdicts.count(True)} passed, {verdicts.count(False)} failed")
    return all(verdicts)


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="where Node and its packages are")
    parser.add_argument("--only", choices=("fixtures", "product"))
    options = parser.parse_args()
    # The older of the two versions has what the newer has done away with, and the fixtures have both.
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    configure_logging(level="error", log_format="auto")
    logging.disable(logging.WARNING)  # refusing a state that was tampered with is part of the suite
    return 0 if anyio.run(check, options.home.resolve(), options.only) else 1


if __name__ == "__main__":
    sys.exit(main())
