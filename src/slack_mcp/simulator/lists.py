"""slackLists.*: tables of typed columns, each of which is a file too.

Rules and error codes: https://docs.slack.dev/reference/methods/slackLists.items.create and its neighbours.
"""

from copy import deepcopy

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.artifacts import LIST_TYPE, File, ListItem, SlackList, new_id
from slack_mcp.simulator.canvases import check_access, drop_access, set_access
from slack_mcp.simulator.chat import Answer, Method
from slack_mcp.simulator.files import visible_file
from slack_mcp.simulator.list_cells import add_todo_columns, make_columns, render_csv, render_item, set_field
from slack_mcp.simulator.model import Json, SlackRefusalError
from slack_mcp.simulator.paging import slice_items
from slack_mcp.simulator.workspace import Workspace

LIST_MIMETYPE = "application/vnd.slack-list"


def create_list(workspace: Workspace, args: Args) -> Answer:
    """slackLists.create: by a schema, as a copy, or with one text column."""
    name = args.required("name", "invalid_arguments")
    made = SlackList(list_id=new_id("F"), is_todo=args.flag("todo_mode"), description_blocks=_description(args) or [])
    source_id = args.optional("copy_from_list_id")
    if source_id is not None:
        _, source = _find(workspace, source_id)
        made.columns = deepcopy(source.columns)
        if args.flag("include_copied_list_records"):
            made.items = _copy_all(workspace, source)
    else:
        made.columns = make_columns(args.nested("schema", list, "invalid_arguments"))
    add_todo_columns(made)
    workspace.shelf.add(
        file_id=made.list_id,
        name=name.lower().replace(" ", "_"),
        title=name,
        content=b"",
        user_id=workspace.actor.user_id,
        created_s=int(workspace.now_s()),
        mimetype=LIST_MIMETYPE,
        filetype=LIST_TYPE,
    )
    workspace.shelf.lists[made.list_id] = made
    return Answer(body={"list_id": made.list_id, "list_metadata": _render_metadata(made)})


def update_list(workspace: Workspace, args: Args) -> Answer:
    """slackLists.update: name, description and todo mode; the columns cannot be changed."""
    file, found = _find(workspace, args.text("id"))
    check_access(workspace, file, "write")
    description = _description(args)
    file.title = args.text("name", file.title)
    if description is not None:
        found.description_blocks = description
    if args.flag("todo_mode"):
        found.is_todo = True
        add_todo_columns(found)
    return Answer()


def create_item(workspace: Workspace, args: Args) -> Answer:
    """slackLists.items.create: a row, a sub-row with `parent_item_id`, or a copy with `duplicated_item_id`."""
    file, found = _find(workspace, args.text("list_id"))
    check_access(workspace, file, "write")
    parent_id, original_id = args.optional("parent_item_id"), args.optional("duplicated_item_id")
    if parent_id is not None and parent_id not in found.items:
        raise SlackRefusalError("record_not_found")
    if original_id is not None and original_id not in found.items:
        raise SlackRefusalError("duplicated_item_not_found")
    item = _new_item(workspace, parent_id)
    if original_id is not None:
        item = _copy(workspace, found.items[original_id], parent_id)
    for each in args.nested("initial_fields", list, "invalid_args") or []:
        set_field(found, item, each)
    found.items[item.item_id] = item
    return Answer(body={"item": render_item(found, item)})


def list_items(workspace: Workspace, args: Args) -> Answer:
    """slackLists.items.list: rows in the order in which they were made; the archived ones with `archived`."""
    file, found = _find(workspace, args.text("list_id"))
    wanted = [each for each in found.items.values() if each.is_archived == args.flag("archived")]
    page, paging = slice_items(wanted, args)
    body: Json = {"items": [render_item(found, each) for each in page]} | paging
    if args.flag("include_list"):
        body["list"] = _render_list(workspace, file, found)
    return Answer(body=body)


def item_info(workspace: Workspace, args: Args) -> Answer:
    """slackLists.items.info: a row with its list and sub-rows."""
    file, found = _find(workspace, args.text("list_id"))
    item = _find_item(found, args.text("id"))
    record = render_item(found, item)
    if args.flag("include_is_subscribed"):
        record["is_subscribed"] = False
    subtasks = [render_item(found, each) for each in found.items.values() if each.parent_id == item.item_id]
    return Answer(body={"list": _render_list(workspace, file, found), "record": record, "subtasks": subtasks})


def update_items(workspace: Workspace, args: Args) -> Answer:
    """slackLists.items.update: cells by row and column; none is changed when one is wrong."""
    file, found = _find(workspace, args.text("list_id"))
    check_access(workspace, file, "write")
    cells: list[Json] = args.nested("cells", list, "invalid_arguments") or []
    changed: dict[str, ListItem] = {}
    new: ListItem | None = None
    for cell in cells:
        if not isinstance(cell, dict):
            raise SlackRefusalError("invalid_arguments")
        if cell.get("row_id_to_create"):
            item = new = new or _new_item(workspace, None)
        elif cell.get("row_id") in found.items:
            item = changed.setdefault(cell["row_id"], deepcopy(found.items[cell["row_id"]]))
        else:
            raise SlackRefusalError("invalid_row_id")
        set_field(found, item, cell)
        item.updated_by, item.updated_s = workspace.actor.user_id, int(workspace.now_s())
    found.items.update(changed)
    if new is not None:
        found.items[new.item_id] = new
    return Answer()


def delete_item(workspace: Workspace, args: Args) -> Answer:
    """slackLists.items.delete."""
    return _delete(workspace, args, [args.text("id")])


def delete_items(workspace: Workspace, args: Args) -> Answer:
    """slackLists.items.deleteMultiple: all or none."""
    return _delete(workspace, args, args.ids("ids"))


def set_list_access(workspace: Workspace, args: Args) -> Answer:
    """slackLists.access.set."""
    file, _ = _find(workspace, args.text("list_id"))
    set_access(workspace, file, args)
    return Answer()


def delete_list_access(workspace: Workspace, args: Args) -> Answer:
    """slackLists.access.delete."""
    file, _ = _find(workspace, args.text("list_id"))
    drop_access(workspace, file, args)
    return Answer()


def start_download(workspace: Workspace, args: Args) -> Answer:
    """slackLists.download.start: an export of the list as it is now."""
    _, found = _find(workspace, args.text("list_id"))
    job_id = new_id("Le")
    found.jobs[job_id] = render_csv(found, with_archived=args.flag("include_archived"))
    return Answer(body={"job_id": job_id})


def get_download(workspace: Workspace, args: Args) -> Answer:
    """slackLists.download.get: where the export is; it is ready at once here."""
    file, found = _find(workspace, args.text("list_id"))
    job_id = args.text("job_id")
    if job_id not in found.jobs:
        raise SlackRefusalError("job_not_found")
    shelf = workspace.shelf
    url = f"{shelf.base_url}/lists-export/{shelf.team_id}/{file.file_id}/{job_id}"
    return Answer(body={"status": "COMPLETED", "download_url": url})


def _find(workspace: Workspace, list_id: str) -> tuple[File, SlackList]:
    file = visible_file(workspace, list_id, "list_not_found")
    found = workspace.shelf.lists.get(file.file_id)
    if found is None:
        raise SlackRefusalError("list_not_found")
    return file, found


def _find_item(found: SlackList, item_id: str) -> ListItem:
    item = found.items.get(item_id)
    if item is None:
        raise SlackRefusalError("record_not_found")
    return item


def _delete(workspace: Workspace, args: Args, item_ids: list[str]) -> Answer:
    file, found = _find(workspace, args.text("list_id"))
    check_access(workspace, file, "write")
    items = [_find_item(found, each) for each in item_ids]
    for item in items:
        found.items.pop(item.item_id, None)
    return Answer()


def _new_item(workspace: Workspace, parent_id: str | None) -> ListItem:
    actor, now_s = workspace.actor.user_id, int(workspace.now_s())
    return ListItem(
        item_id=new_id("Rec"),
        created_s=now_s,
        created_by=actor,
        updated_by=actor,
        updated_s=now_s,
        parent_id=parent_id,
    )


def _copy(workspace: Workspace, item: ListItem, parent_id: str | None) -> ListItem:
    copied = _new_item(workspace, parent_id)
    copied.fields = deepcopy(item.fields)
    return copied


def _copy_all(workspace: Workspace, source: SlackList) -> dict[str, ListItem]:
    copies = {item_id: _copy(workspace, item, None) for item_id, item in source.items.items()}
    for item_id, item in source.items.items():
        if item.parent_id in copies:
            copies[item_id].parent_id = copies[item.parent_id].item_id
    return {copied.item_id: copied for copied in copies.values()}


def _description(args: Args) -> list[Json] | None:
    blocks: list[Json] | None = args.nested("description_blocks", list, "invalid_blocks")
    return blocks


def _render_metadata(found: SlackList) -> Json:
    return {"schema": found.columns, "subtask_schema": found.columns}


def _render_list(workspace: Workspace, file: File, found: SlackList) -> Json:
    metadata = _render_metadata(found) | {"description": found.description_blocks, "todo_mode": found.is_todo}
    return workspace.shelf.render(file) | {"list_metadata": metadata}


LIST_METHODS: dict[str, tuple[Method, str]] = {
    "slackLists.create": (create_list, "lists:write"),
    "slackLists.update": (update_list, "lists:write"),
    "slackLists.items.create": (create_item, "lists:write"),
    "slackLists.items.list": (list_items, "lists:read"),
    "slackLists.items.info": (item_info, "lists:read"),
    "slackLists.items.update": (update_items, "lists:write"),
    "slackLists.items.delete": (delete_item, "lists:write"),
    "slackLists.items.deleteMultiple": (delete_items, "lists:write"),
    "slackLists.access.set": (set_list_access, "lists:write"),
    "slackLists.access.delete": (delete_list_access, "lists:write"),
    "slackLists.download.start": (start_download, "lists:read"),
    "slackLists.download.get": (get_download, "lists:read"),
}
"""Each method with the scope it needs."""
