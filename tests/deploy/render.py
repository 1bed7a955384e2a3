"""Prints the chart's objects for a file of values: what `helm template` prints, where there is no Helm.

    make manifests VALUES=my-values.yaml > slack-mcp.yaml

Hooks of Helm's are ordinary objects here: with `migration.mode: job` apply the Job first.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import helm_python
import yaml

from deploy.chart import render_files


def main(words: Sequence[str] | None = None) -> None:
    """Print the objects, or say what is wrong with the values and leave with 1."""
    parser = argparse.ArgumentParser(prog="make manifests", description="Print the chart's objects as YAML.")
    parser.add_argument("values", type=Path, help="file of values")
    parser.add_argument("--release", default="slack-mcp")
    parser.add_argument("--namespace", default="slack-mcp")
    given = parser.parse_args(words)
    try:
        values = yaml.safe_load(given.values.read_text(encoding="utf-8")) or {}
        files = render_files(values, release=given.release, namespace=given.namespace)
    except (OSError, yaml.YAMLError, helm_python.HelmError) as error:
        parser.exit(1, f"{error}\n")
    for path, text in sorted(files.items()):
        if path.endswith(".yaml") and "/tests/" not in path and text.strip():
            print(f"---\n# {path}\n{text.strip()}")


if __name__ == "__main__":
    main()
