import json
from typing import Any

import pytest
from simulator_client import SimulatorClient
from stepping_clock import SteppingClock

from slack_mcp.simulator import Workspace
from slack_mcp.simulator.blocks import measure_text, validate_blocks, validate_view

pytestmark = pytest.mark.anyio
Json = dict[str, Any]
DIVIDER = {"type": "divider"}
HOME = {"type": "home", "blocks": [DIVIDER]}


def make_text(length: int) -> Json:
    return {"type": "plain_text", "text": "x" * length}


def make_modal(**changes: Any) -> Json:
    return {"type": "modal", "title": make_text(5), "blocks": [DIVIDER], **changes}


async def test_a_home_view_is_published_and_replaced(bot: SimulatorClient, workspace: Workspace) -> None:
    first = (await bot.call("views.publish", user_id="UANN1", view=HOME))["view"]
    assert (first["type"], first["app_id"], first["state"]) == ("home", "A1", {"values": {}})
    second = await bot.call("views.publish", user_id="UANN1", view=json.dumps(HOME), hash=first["hash"])
    assert second["view"]["id"] == first["id"]
    assert workspace.views.home["UANN1"].content == HOME
    assert await bot.refusal("views.publish", user_id="UANN1", view=HOME, hash=first["hash"]) == "hash_conflict"
    assert await bot.refusal("views.publish", user_id="U404", view=HOME) == "user_not_found"


async def test_a_modal_is_opened_once_for_a_trigger_in_time(
    bot: SimulatorClient, workspace: Workspace, clock: SteppingClock
) -> None:
    trigger_id = workspace.make_trigger_id("UANN1")
    opened = (await bot.call("views.open", trigger_id=trigger_id, view=make_modal(callback_id="ask")))["view"]
    assert (opened["callback_id"], opened["root_view_id"], opened["previous_view_id"]) == ("ask", opened["id"], None)
    assert workspace.views.modals[opened["id"]].user_id == "UANN1"
    assert await bot.refusal("views.open", trigger_id=trigger_id, view=make_modal()) == "expired_trigger_id"
    late = workspace.make_trigger_id()
    clock.time_s += 3.1
    assert await bot.refusal("views.open", trigger_id=late, view=make_modal()) == "expired_trigger_id"
    assert await bot.refusal("views.open", view=make_modal()) == "invalid_arguments"


async def test_modals_are_three_deep_and_close_with_what_is_on_them(bot: SimulatorClient, workspace: Workspace) -> None:
    def trigger() -> str:
        return workspace.make_trigger_id("UANN1")

    assert await bot.refusal("views.push", trigger_id=trigger(), view=make_modal()) == "not_found"
    root = (await bot.call("views.open", trigger_id=trigger(), view=make_modal()))["view"]
    second = (await bot.call("views.push", trigger_id=trigger(), view=make_modal()))["view"]
    assert (second["root_view_id"], second["previous_view_id"]) == (root["id"], root["id"])
    await bot.call("views.push", trigger_id=trigger(), view=make_modal())
    assert await bot.refusal("views.push", trigger_id=trigger(), view=make_modal()) == "push_limit_reached"
    workspace.views.close(second["id"])
    assert list(workspace.views.modals) == [root["id"]]


async def test_a_view_is_updated_by_either_id_and_only_when_it_is_the_one_known(
    bot: SimulatorClient, workspace: Workspace
) -> None:
    modal = make_modal(external_id="mine")
    opened = (await bot.call("views.open", trigger_id=workspace.make_trigger_id(), view=modal))["view"]
    again = {"trigger_id": workspace.make_trigger_id(), "view": modal}
    assert await bot.refusal("views.open", **again) == "duplicate_external_id"
    updated = await bot.call("views.update", external_id="mine", view=make_modal(private_metadata="1"))
    assert updated["view"]["private_metadata"] == "1"
    error = await bot.refusal("views.update", view_id=opened["id"], hash=opened["hash"], view=modal)
    assert error == "hash_conflict"
    assert await bot.refusal("views.update", view_id="V404", view=modal) == "not_found"


async def test_what_is_wrong_with_a_view_is_named(bot: SimulatorClient, workspace: Workspace) -> None:
    answer = await bot.answer("views.open", trigger_id=workspace.make_trigger_id(), view=HOME)
    assert answer["error"] == "invalid_arguments"
    assert answer["response_metadata"]["messages"] == ["[ERROR] must be modal [json-pointer:/view/type]"]
    assert await bot.refusal("views.publish", user_id="UANN1") == "invalid_arguments"
    huge = HOME | {"blocks": [{"type": "markdown", "text": "x" * 250_000}]}
    assert await bot.refusal("views.publish", user_id="UANN1", view=huge) == "view_too_large"


async def test_blocks_are_validated_with_json_pointers(bot: SimulatorClient) -> None:
    assert await bot.call("blocks.validate", blocks=[DIVIDER]) == {"ok": True}
    long = {"type": "section", "text": make_text(3_001)}
    answer = await bot.answer("blocks.validate", blocks=json.dumps([DIVIDER, long]))
    assert answer["error"] == "invalid_blocks"
    assert [(each["pointer"], each["code"]) for each in answer["errors"]] == [("/1/text/text", "failed_constraint")]
    message = await bot.answer("blocks.validate", message={"blocks": [long]})
    assert (message["error"], message["errors"][0]["pointer"]) == ("invalid_message", "/blocks/0/text/text")
    view = await bot.answer("blocks.validate", view={"type": "home"})
    assert (view["error"], view["errors"][0]["pointer"]) == ("invalid_view", "/blocks")
    await bot.call("blocks.validate", message={"text": "x"})
    assert await bot.refusal("blocks.validate") == "invalid_arguments"
    assert await bot.refusal("blocks.validate", blocks=[DIVIDER], view=HOME) == "invalid_arguments"


BUTTON = {"type": "button", "text": make_text(75), "value": "x" * 2_000, "action_id": "a"}


@pytest.mark.parametrize(
    ("block", "pointer"),
    [
        ("text", "/0"),
        ({"type": "song"}, "/0/type"),
        ({"type": "section"}, "/0"),
        ({"type": "section", "fields": [make_text(1)] * 11}, "/0/fields"),
        ({"type": "section", "fields": [make_text(2_001)]}, "/0/fields/0/text"),
        ({"type": "section", "text": make_text(1), "accessory": {}}, "/0/accessory/type"),
        ({"type": "header"}, "/0/text"),
        ({"type": "header", "text": make_text(151)}, "/0/text/text"),
        ({"type": "markdown", "text": "x" * 12_001}, "/0/text"),
        ({"type": "image", "alt_text": "x" * 2_001}, "/0/alt_text"),
        ({"type": "context", "elements": [make_text(1)] * 11}, "/0/elements"),
        ({"type": "actions", "elements": [BUTTON] * 26}, "/0/elements"),
        ({"type": "actions", "elements": [BUTTON | {"text": make_text(76)}]}, "/0/elements/0/text/text"),
        ({"type": "actions", "elements": [BUTTON | {"value": "x" * 2_001}]}, "/0/elements/0/value"),
        ({"type": "actions", "elements": [{"type": "button"}]}, "/0/elements/0/text"),
        (
            {"type": "input", "label": make_text(1), "element": {"type": "x", "options": [1] * 101}},
            "/0/element/options",
        ),
        ({"type": "table", "rows": [[1] * 21]}, "/0/rows/0"),
        ({"type": "table", "rows": [[1]] * 101}, "/0/rows"),
        ({"type": "divider", "block_id": "x" * 256}, "/0/block_id"),
    ],
)
def test_each_limit_has_its_pointer(block: Any, pointer: str) -> None:
    assert [each["pointer"] for each in validate_blocks([block])] == [pointer]


def test_whole_messages_and_views_have_limits() -> None:
    assert validate_blocks([{"type": "actions", "elements": [BUTTON]}]) == []
    assert [each["pointer"] for each in validate_blocks([DIVIDER] * 51)] == [""]
    twins = [DIVIDER | {"block_id": "a"}] * 2
    assert [each["pointer"] for each in validate_blocks(twins)] == ["/0/block_id", "/1/block_id"]
    assert [each["pointer"] for each in validate_view(make_modal(title=make_text(25)))] == ["/title/text"]
    assert [each["pointer"] for each in validate_view(make_modal(title=None))] == ["/title"]
    assert [each["pointer"] for each in validate_view(make_modal(private_metadata="x" * 3_001))] == [
        "/private_metadata"
    ]
    field = {"type": "input", "label": make_text(1), "element": {"type": "plain_text_input"}}
    assert [each["pointer"] for each in validate_view(make_modal(blocks=[field]))] == ["/submit"]
    assert validate_view(make_modal(blocks=[DIVIDER] * 100)) == []
    assert {each["pointer"] for each in validate_view({})} == {"/type", "/blocks"}


def test_text_of_blocks_is_measured_wherever_it_is() -> None:
    assert measure_text([{"type": "section", "text": make_text(3), "fields": [make_text(2)]}]) == 5
