from collections.abc import AsyncIterator
from typing import Any

import pytest
from toolbox import ANN, GENERAL, GLOBEX, Toolbox, open_toolbox

from slack_mcp.core.ids import ChannelId
from slack_mcp.core.model import Access, ToolPolicy
from slack_mcp.simulator.faults import Fault
from slack_mcp.tools.blocks import TOOLS

pytestmark = pytest.mark.anyio

VALIDATE, HOME = "SLACK_VALIDATE_BLOCKS", "SLACK_PUBLISH_HOME"
DIVIDER = {"type": "divider"}
BROKEN = {"type": "section"}


@pytest.fixture
async def box() -> AsyncIterator[Toolbox]:
    async with open_toolbox(TOOLS) as toolbox:
        yield toolbox


async def test_blocks_and_views_are_checked_and_nothing_is_sent(box: Toolbox) -> None:
    view = {"type": "home", "blocks": [DIVIDER]}
    for good in ({"blocks": [DIVIDER]}, {"view": view}):
        assert await box.ok(VALIDATE, good, access=Access.READ) == {"valid": True}
        assert await box.text(VALIDATE, good) == "Valid."
    bad = await box.ok(VALIDATE, {"blocks": [DIVIDER, BROKEN]})
    assert bad == {"valid": False, "errors": ["/1: missing required field: text or fields"]}
    text = await box.text(VALIDATE, {"view": view | {"blocks": [BROKEN]}})
    assert text == "Not valid:\n- /blocks/0: missing required field: text or fields"
    assert set(box.methods()) == {"blocks.validate"}
    assert await box.audited() == []


async def test_large_blocks_are_checked_as_well(box: Toolbox) -> None:
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 1_900}}] * 50
    assert await box.ok(VALIDATE, {"blocks": blocks}) == {"valid": True}
    assert "100000 characters" in await box.error(VALIDATE, {"blocks": blocks * 2})


async def test_home_tab_is_published_to_one_person_of_one_tenant(box: Toolbox) -> None:
    shown = await box.ok(HOME, {"user_id": "@ann", "blocks": [DIVIDER]})
    assert shown["user_id"] == ANN
    assert box.workspace().views.home[ANN].content == {"type": "home", "blocks": [DIVIDER]}
    assert not box.workspace(GLOBEX).views.home
    assert (await box.audited())[0].target == ANN


async def test_home_tab_belongs_to_no_channel_that_a_policy_could_allow(box: Toolbox) -> None:
    await box.set_policy(ToolPolicy(write_channels=(ChannelId(GENERAL),)))
    assert "policy does not let" in await box.error(HOME, {"user_id": ANN, "blocks": [DIVIDER]})
    assert not box.workspace().views.home


BAD_INPUT: list[tuple[str, dict[str, Any], str]] = [
    (VALIDATE, {}, "either blocks or view"),
    (VALIDATE, {"blocks": [], "view": {}}, "either blocks or view"),
    (VALIDATE, {"blocks": "[]"}, "blocks: "),
    (VALIDATE, {"blocks": [5]}, "blocks.0: "),
    (HOME, {"user_id": ANN}, "blocks is required"),
    (HOME, {"user_id": "@nobody", "blocks": [DIVIDER]}, "nobody"),
    (HOME, {"user_id": "U0STRANGER", "blocks": [DIVIDER]}, "SLACK_SEARCH_USERS"),
    (HOME, {"user_id": ANN, "blocks": [DIVIDER] * 101}, "blocks: "),
    (HOME, {"user_id": ANN, "blocks": [{"type": "section", "x": "x" * 250_000}]}, "250 kB"),
    (HOME, {"user_id": ANN, "blocks": [BROKEN]}, "missing required field"),
]


async def test_bad_input_is_refused_with_what_to_do(box: Toolbox) -> None:
    for name, arguments, said in BAD_INPUT:
        assert said in await box.error(name, arguments), (name, arguments)


async def test_refusals_of_slack_say_what_to_do(box: Toolbox) -> None:
    box.simulator.faults.add(Fault(method="views.publish", error="not_enabled"))
    assert "App Home" in await box.error(HOME, {"user_id": ANN, "blocks": [DIVIDER]})
    box.simulator.faults.add(Fault(method="blocks.validate", error="invalid_arguments"))
    assert "invalid_arguments" in await box.error(VALIDATE, {"blocks": [DIVIDER]})
    box.simulator.faults.add(Fault(method="blocks.validate", error="invalid_blocks"))
    assert await box.ok(VALIDATE, {"blocks": [DIVIDER]}) == {"valid": False, "errors": ["invalid_blocks"]}
