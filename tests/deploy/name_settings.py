"""Writes the names of all settings into the schema of the chart's values: `make docs` runs it."""

import json
from pathlib import Path
from typing import Any, Final

from slack_mcp.settings import Settings
from slack_mcp.settings.kinds import get_name, is_secret

SCHEMA: Final = Path(__file__).parents[2] / "deploy/chart/slack-mcp/values.schema.json"

# The chart has values of its own for these.
MADE_BY_THE_CHART: Final = frozenset(
    {"HOST", "PORT", "WORKERS", "DATA_DIR", "SLACK_MCP_DRAIN_DELAY_S", "SLACK_MCP_DRAIN_TIMEOUT_S"}
)


def name_settings(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with the names of today's settings, in the three places that know them."""
    names = {get_name(field) for field in Settings.model_fields.values()}
    secrets = {get_name(field) for field in Settings.model_fields.values() if is_secret(field)}
    kinds = schema["$defs"]
    kinds["settings"]["properties"] = _make_properties(names - secrets - MADE_BY_THE_CHART, "settingValue")
    kinds["secretSettings"]["properties"] = _make_properties(secrets, "secretKey")
    kinds["settingName"]["enum"] = sorted(names | {f"{name}_FILE" for name in secrets})
    return schema


def _make_properties(names: set[str], kind: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/$defs/{kind}"} for name in sorted(names)}


if __name__ == "__main__":
    named = name_settings(json.loads(SCHEMA.read_text(encoding="utf-8")))
    SCHEMA.write_text(json.dumps(named, indent=2) + "\n", encoding="utf-8")
