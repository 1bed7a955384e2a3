"""The original's table, imported from the PostgreSQL that it lies in."""

import json
from pathlib import Path

from command_fakes import Commands
from postgres import Postgres

from slack_mcp.core.ids import ConnectionId

TABLE = (
    "CREATE TABLE slack_connections (connection_id TEXT PRIMARY KEY, organization_id TEXT, mesh_url TEXT, "
    "mesh_token TEXT, agent_id TEXT, bot_token TEXT, signing_secret TEXT, "
    "response_config JSONB, configured_at TEXT, extra INTEGER)"
)
ROW = (
    "INSERT INTO slack_connections VALUES ('conn_9', 'org', 'https://mesh.example', NULL, 'vir_1', 'xoxb-canary', "
    "'canary-secret', '{\"showThinkingMessage\": false}', '2026-01-01', 7)"
)


def test_the_table_is_read_where_it_lies_and_stays_as_it_is(postgres: Postgres, tmp_path: Path) -> None:
    commands = Commands()
    with postgres.database(migrated=False) as url:
        database = url.partition("?")[0].rpartition("/")[2]
        for statement in (TABLE, ROW):
            postgres.execute(statement, database=database)
        file = tmp_path / "url"
        file.write_text(url)
        done = commands.run("import", "--database-url-file", str(file), "--offline", "--json")
        assert done.exit_code == 0, done.output
        (taken,) = json.loads(done.stdout)["connections"]
        again = commands.run("import", "--database-url-file", str(file), "--offline", "--json")
    assert taken == {"connection": "conn_9", "result": "added", "why": "not taken: extra"}
    assert json.loads(again.stdout)["connections"][0]["result"] == "unchanged"
    made = commands.store.rows[ConnectionId("conn_9")]
    assert (made.bot_token.reveal(), made.settings.show_thinking_message) == ("xoxb-canary", False)


def test_a_database_without_the_table_says_so_without_its_password(postgres: Postgres, tmp_path: Path) -> None:
    file = tmp_path / "url"
    with postgres.database(migrated=False) as url:
        file.write_text(url)
        done = Commands().run("import", "--database-url-file", str(file))
        assert (done.exit_code, "no table slack_connections" in done.stderr) == (1, True)
    file.write_text("mysql://user:canary@host/db")
    done = Commands().run("import", "--database-url-file", str(file))
    assert (done.exit_code, "Unsupported" in done.stderr) == (2, True)
