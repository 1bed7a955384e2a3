import re

import pytest
from doc_pages import load_page, load_pages

from slack_mcp.cli.docs import render_settings_page
from slack_mcp.connections.choices import render_choices
from slack_mcp.core.model import ConnectionSettings
from slack_mcp.settings import Settings
from slack_mcp.settings.kinds import get_name, is_secret
from slack_mcp.tools.registry import TOOLS

NAMES = {get_name(field) for field in Settings.model_fields.values()}
SECRET_NAMES = {get_name(field) for field in Settings.model_fields.values() if is_secret(field)}
CHOICES = render_choices(ConnectionSettings())
# What a connection chooses, and not the service.
CHOICE_NAMES = set(CHOICES) | {name for section in CHOICES.values() if isinstance(section, dict) for name in section}

# Written like settings, and something else.
OTHERS = {
    "BASE_IMAGE",  # of the image, when it is built
    "BUILD_FLAGS",  # the same
    "CONNECTION_ID",  # an argument of commands
    "NAME_FILE",  # how a secret's file is given
    # What finds the credentials of a bucket reads these itself.
    "AWS_ACCESS_KEY_ID",
    "AWS_ALLOW_HTTP",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
}


def test_settings_page_is_the_one_that_the_code_makes() -> None:
    page = load_page("docs/settings.md").path.read_text(encoding="utf-8")
    assert page == render_settings_page(), "run `make docs`"


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_setting_is_in_the_settings_page(name: str) -> None:
    assert f"| `{name}` |" in load_page("docs/settings.md").prose


def test_every_setting_that_a_page_names_exists() -> None:
    known = NAMES | CHOICE_NAMES | OTHERS | {tool.name for tool in TOOLS} | {f"{name}_FILE" for name in SECRET_NAMES}
    named = {
        (page.path.name, word)
        for page in load_pages()
        for code in page.code
        for word in re.findall(r"(?<![\w{<])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w…}>])", code)
    }
    assert len(named) > len(NAMES)
    assert {(page, word) for page, word in named if word not in known} == set()
