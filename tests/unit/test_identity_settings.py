import pytest

from slack_mcp.app.identity import find_resource
from slack_mcp.core.errors import SettingsError
from slack_mcp.settings import Settings

OAUTH = {
    "OAUTH_ISSUER": "https://login.example/",
    "PUBLIC_URL": "https://slack.example/base/",
    "OAUTH_CONNECTION_CLAIM": "https://slack.example/connection",
}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"PUBLIC_URL": ""}, "OAUTH_ISSUER needs PUBLIC_URL"),
        ({"OAUTH_CONNECTION_CLAIM": ""}, "OAUTH_ISSUER needs OAUTH_CONNECTION_CLAIM or OAUTH_CONNECTION_ID"),
        ({"OAUTH_CONNECTION_ID": "c"}, "and not both"),
        ({"OAUTH_ISSUER": "login.example"}, "OAUTH_ISSUER must be a URL such as"),
        ({"OAUTH_JWKS_URL": "keys"}, "OAUTH_JWKS_URL must be a URL such as"),
        ({"MCP_RATE_LIMIT_PER_MIN": "-1"}, "MCP_RATE_LIMIT_PER_MIN must be a whole number from 0 to 1000000"),
    ],
)
def test_what_does_not_go_together_is_told(changes: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        Settings.from_env(OAUTH | changes, dotenv=None)
    (told,) = refusal.value.problems
    assert problem in told


def test_the_issuer_keeps_its_last_slash_and_the_service_is_named_by_its_public_url() -> None:
    resource = find_resource(Settings.from_env(OAUTH, dotenv=None))
    assert resource is not None
    assert resource.issuer == "https://login.example/"
    assert resource.resource == "https://slack.example/base/mcp"
    assert resource.metadata_url == "https://slack.example/base/.well-known/oauth-protected-resource/mcp"


def test_without_an_issuer_there_is_no_resource() -> None:
    settings = Settings.from_env({}, dotenv=None)
    assert find_resource(settings) is None
    assert settings.mcp_rate_limit_per_min == 600
