"""Every table has a place in a backup, or a reason why not."""

import pytest
from sqlalchemy import JSON, Column, Integer, MetaData, Table

from slack_mcp.store.backup_tables import LEFT_OUT, OF_THE_OLD_LIFE, list_numbered, list_shapes
from slack_mcp.store.schema import metadata

HELD_BY_A_PROCESS = ("holder", "lease", "fence")


def test_every_table_is_backed_up_or_left_out_for_a_reason() -> None:
    backed_up = {shape.name for shape in list_shapes()}
    assert backed_up | set(LEFT_OUT) == set(metadata.tables)
    assert backed_up & set(LEFT_OUT) == set()
    assert [name for name, reason in LEFT_OUT.items() if len(reason.split()) < 5] == []


def test_every_column_of_a_table_is_in_its_shape() -> None:
    for shape in list_shapes():
        assert shape.column_names == [column.name for column in metadata.tables[shape.name].columns]


def test_a_column_of_an_unknown_kind_is_found_before_a_backup_lacks_it() -> None:
    strange = MetaData()
    Table("strange", strange, Column("id", Integer, primary_key=True), Column("value", JSON))
    with pytest.raises(TypeError, match=r"strange\.value"):
        list_shapes(strange)


def test_whatever_a_process_holds_is_taken_from_it() -> None:
    held = {
        (shape.name, column)
        for shape in list_shapes()
        for column in shape.column_names
        if column.startswith(HELD_BY_A_PROCESS)
    }
    freed = {(table.name, column) for table, values in OF_THE_OLD_LIFE.items() for column in values}
    assert ("slack_lanes", "holder") in held
    assert held == freed


def test_tables_that_number_their_rows_are_known() -> None:
    assert list_numbered() == {"slack_audit": "id", "slack_events": "id", "slack_lanes": "lane_id"}
