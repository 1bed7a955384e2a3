import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_samples import make_connection

from slack_mcp.connections.originals import Original, apply_original, list_differences, parse_export, parse_rows
from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.model import AgentBackend, ConnectionSettings

NOW_S = 1_800_000_000.0
ROW = {
    "connection_id": "conn_1",
    "organization_id": "org_1",
    "mesh_url": "https://mesh.example/",
    "mesh_token": "canary-mesh",
    "model_provider_id": None,
    "model_id": "",
    "agent_id": "vir_1",
    "system_prompt": 'Be kind, "always".\nAnd short.',
    "bot_token": "xoxb-canary",
    "signing_secret": "canary-secret",
    "team_id": "T1",
    "bot_user_id": "U1",
    "configured_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-02T00:00:00Z",
}
CAMEL = {
    "connectionId": "conn_1",
    "organizationId": "org_1",
    "meshUrl": "https://mesh.example",
    "botToken": "xoxb-canary",
    "signingSecret": "canary-secret",
    "teamName": "Acme",
    "hyperDxApiKey": "canary-key",
    "responseConfig": {"showOnlyFinalResponse": True, "enableStreaming": True, "showThinkingMessage": True},
}


def parse(found: Any) -> list[Original]:
    return parse_export(json.dumps(found), now_s=NOW_S)


def render_csv(*rows: dict[str, Any]) -> str:
    def quote(value: Any) -> str:
        return "" if value is None else '"' + str(value).replace('"', '""') + '"'

    lines = [",".join(rows[0])] + [",".join(quote(value) for value in row.values()) for row in rows]
    return "\r\n".join(lines)


@pytest.mark.parametrize("text", [json.dumps([ROW]), render_csv(ROW), "\ufeff" + render_csv(ROW)])
def test_a_row_of_the_table_becomes_a_connection(text: str) -> None:
    (original,) = parse_export(text, now_s=NOW_S)
    assert (original.refusal, original.ignored) == (None, ())
    made = apply_original(original, None)
    assert (made.connection_id, made.organization_id, made.mesh_url) == ("conn_1", "org_1", "https://mesh.example")
    assert made.bot_token.reveal() == "xoxb-canary"
    assert made.signing_secret.reveal() == "canary-secret"
    assert made.mesh_token is not None
    assert made.mesh_token.reveal() == "canary-mesh"
    assert (made.model_id, made.agent_id, made.settings.agent) == (None, "vir_1", AgentBackend.MESH)
    assert made.system_prompt == ROW["system_prompt"]
    assert made.configured_at == ROW["configured_at"]


@pytest.mark.parametrize("prefix", ["config:", "slack:connection:"])
def test_an_entry_of_the_file_becomes_a_connection(prefix: str) -> None:
    threads = {"thread:C1": {"value": {"text": "canary"}}}
    (original,) = parse({f"{prefix}conn_1": {"value": CAMEL, "expiresAt": (NOW_S + 1) * 1000}, **threads})
    assert original.ignored == ("hyperDxApiKey",)
    made = apply_original(original, None)
    assert (made.team_name, made.agent_id, made.settings.agent) == ("Acme", None, None)
    # Only the final answer: then nothing is shown before it.
    assert made.settings == ConnectionSettings(final_only=True, streaming=False, show_thinking_message=False)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"config:a": {"value": CAMEL, "expiresAt": (NOW_S - 1) * 1000}}, "expired"),
        ({"config:a": {"value": "text"}}, "no object"),
        ({"config:a": "text"}, "no object"),
        ({"config:a": {"value": {**CAMEL, "botToken": ""}}}, "bot_token is missing"),
        ({"config:a": {"value": {**CAMEL, "signingSecret": 5}}}, "signing_secret is no text"),
        ({"slack:team:T1": {"value": {"teamId": "T1", "botToken": "xoxb-canary"}}}, "in Mesh once"),
        ([{**ROW, "connection_id": None}], "connection_id is missing"),
        ([17], "no object"),
    ],
)
def test_what_cannot_be_taken_says_why_and_nothing_secret(entry: Any, why: str) -> None:
    (original,) = parse(entry)
    assert original.refusal is not None
    assert why in original.refusal
    assert "canary" not in original.refusal


@pytest.mark.parametrize("text", ["{", "[1,", "", "hello", "a,b\n1,2", "<html>canary</html>", "[" * 100_000])
def test_a_file_of_another_kind_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_export(text, now_s=NOW_S)
    assert "canary" not in str(caught.value)


@given(st.text())
def test_no_text_at_all_breaks_the_reader(text: str) -> None:
    try:
        found = parse_export(text, now_s=NOW_S)
    except InvalidInputError:
        return
    assert isinstance(found, list)


def test_what_was_not_found_stays_as_it_is_stored() -> None:
    stored = make_connection("conn_1")
    (original,) = parse_rows([{key: ROW[key] for key in ("connection_id", "bot_token", "signing_secret")}])
    changed = apply_original(original, stored)
    assert changed.user_token == stored.user_token
    assert changed.settings == stored.settings
    assert list_differences(changed, stored) == ["bot_token", "signing_secret"]
    assert list_differences(stored, stored) == []


def test_choices_that_cannot_be_read_are_refused() -> None:
    for choices in ("{", "[1]", 5):
        (original,) = parse_rows([{**ROW, "response_config": choices}])
        with pytest.raises(InvalidInputError, match="response_config"):
            apply_original(original, None)
