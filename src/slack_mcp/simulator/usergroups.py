"""usergroups.*: named groups of users.

Rules and error codes: https://docs.slack.dev/reference/methods/usergroups.create and its neighbours.
"""

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.artifacts import new_id
from slack_mcp.simulator.chat import Answer, Method
from slack_mcp.simulator.model import Json, SlackRefusalError, UserGroup
from slack_mcp.simulator.workspace import Workspace


def list_groups(workspace: Workspace, args: Args) -> Answer:
    """usergroups.list: those in use; the disabled ones, the members and their number on request."""
    groups = [each for each in workspace.usergroups.values() if not each.disabled_s or args.flag("include_disabled")]
    return Answer(
        body={
            "usergroups": [
                render_usergroup(
                    each,
                    workspace.team_id,
                    with_users=args.flag("include_users"),
                    with_count=args.flag("include_count"),
                )
                for each in groups
            ]
        }
    )


def create(workspace: Workspace, args: Args) -> Answer:
    """usergroups.create: names and handles are there once; the handle comes from the name when it is not given."""
    name = args.required("name")
    handle = args.text("handle").lstrip("@") or "-".join(name.lower().split())
    _check_unused(workspace, name=name, handle=handle)
    now_s = int(workspace.now_s())
    group = UserGroup(
        group_id=new_id("S"),
        name=name,
        handle=handle,
        description=args.text("description"),
        channels=args.ids("channels"),
        created_by=workspace.actor.user_id,
        created_s=now_s,
        updated_by=workspace.actor.user_id,
        updated_s=now_s,
    )
    workspace.usergroups[group.group_id] = group
    return _answer(workspace, group, args)


def update(workspace: Workspace, args: Args) -> Answer:
    """usergroups.update: changes what is given."""
    group = _find(workspace, args)
    name = args.text("name") or group.name
    handle = args.text("handle").lstrip("@") or group.handle
    _check_unused(workspace, name=name, handle=handle, but=group)
    group.name, group.handle = name, handle
    group.description = args.text("description", group.description)
    group.channels = args.ids("channels") or group.channels
    return _changed(workspace, group, args)


def enable(workspace: Workspace, args: Args) -> Answer:
    """usergroups.enable."""
    group = _find(workspace, args)
    group.disabled_s = 0
    return _changed(workspace, group, args)


def disable(workspace: Workspace, args: Args) -> Answer:
    """usergroups.disable."""
    group = _find(workspace, args)
    group.disabled_s = int(workspace.now_s())
    return _changed(workspace, group, args)


def list_users(workspace: Workspace, args: Args) -> Answer:
    """usergroups.users.list."""
    group = _find(workspace, args)
    if group.disabled_s and not args.flag("include_disabled"):
        raise SlackRefusalError("no_such_subteam")
    return Answer(body={"users": list(group.users)})


def update_users(workspace: Workspace, args: Args) -> Answer:
    """usergroups.users.update: replaces all members."""
    group = _find(workspace, args)
    users = args.ids("users")
    if not users:
        raise SlackRefusalError("no_users_provided")
    if any(each not in workspace.users for each in users):
        raise SlackRefusalError("invalid_users")
    group.users = list(dict.fromkeys(users))
    return _changed(workspace, group, args, with_users=True)


def render_usergroup(group: UserGroup, team_id: str, *, with_users: bool = False, with_count: bool = False) -> Json:
    """Return a user group object, as https://docs.slack.dev/reference/objects/usergroup-object has it. Pure."""
    body: Json = {
        "id": group.group_id,
        "team_id": team_id,
        "is_usergroup": True,
        "is_subteam": True,
        "name": group.name,
        "description": group.description,
        "handle": group.handle,
        "is_external": False,
        "date_create": group.created_s,
        "date_update": group.updated_s,
        "date_delete": group.disabled_s,
        "auto_type": None,
        "auto_provision": False,
        "created_by": group.created_by,
        "updated_by": group.updated_by,
        "deleted_by": group.updated_by if group.disabled_s else None,
        "prefs": {"channels": list(group.channels), "groups": []},
    }
    if with_users:
        body["users"] = list(group.users)
    return body | {"user_count": len(group.users)} if with_count else body


def _find(workspace: Workspace, args: Args) -> UserGroup:
    group = workspace.usergroups.get(args.text("usergroup"))
    if group is None:
        raise SlackRefusalError("no_such_subteam")
    return group


def _check_unused(workspace: Workspace, *, name: str, handle: str, but: UserGroup | None = None) -> None:
    others = [each for each in workspace.usergroups.values() if each is not but]
    if any(each.name == name for each in others):
        raise SlackRefusalError("name_already_exists")
    if any(each.handle == handle for each in others):
        raise SlackRefusalError("handle_already_exists")


def _changed(workspace: Workspace, group: UserGroup, args: Args, *, with_users: bool = False) -> Answer:
    group.updated_by, group.updated_s = workspace.actor.user_id, int(workspace.now_s())
    return _answer(workspace, group, args, with_users=with_users)


def _answer(workspace: Workspace, group: UserGroup, args: Args, *, with_users: bool = False) -> Answer:
    with_count = args.flag("include_count")
    body = render_usergroup(group, workspace.team_id, with_users=with_users, with_count=with_count)
    return Answer(body={"usergroup": body})


USERGROUP_METHODS: dict[str, tuple[Method, str]] = {
    "usergroups.create": (create, "usergroups:write"),
    "usergroups.disable": (disable, "usergroups:write"),
    "usergroups.enable": (enable, "usergroups:write"),
    "usergroups.list": (list_groups, "usergroups:read"),
    "usergroups.update": (update, "usergroups:write"),
    "usergroups.users.list": (list_users, "usergroups:read"),
    "usergroups.users.update": (update_users, "usergroups:write"),
}
"""Each method with the scope it needs."""
