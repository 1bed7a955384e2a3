"""The command line: the only place that prints.

`main` hands the process's environment to the commands; what they need of the service comes through `seam.Seam`, and is
imported only when a command runs, so that `--help` answers at once.
"""

import os
import sys
from pathlib import Path

from slack_mcp.cli.root import cli
from slack_mcp.cli.seam import Seam, load_composition, load_demo, load_doctor


def main() -> None:
    """Run one command and exit: 0 done, 1 failed, 2 wrong settings or usage."""
    cli(
        obj=Seam(
            environ=os.environ,
            dotenv=Path(".env"),
            is_terminal=sys.stdin.isatty(),
            load_composition=load_composition,
            load_demo=load_demo,
            load_doctor=load_doctor,
        ),
        prog_name="slack-mcp",
    )
