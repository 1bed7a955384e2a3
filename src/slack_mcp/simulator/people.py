"""users.* and dnd.*: who is there, and what they say of themselves.

Rules and error codes: https://docs.slack.dev/reference/methods/users.info and its neighbours.
"""

from slack_mcp.simulator import acts
from slack_mcp.simulator.args import Args
from slack_mcp.simulator.chat import Answer, Method
from slack_mcp.simulator.model import Json, SlackRefusalError, User
from slack_mcp.simulator.paging import slice_items
from slack_mcp.simulator.render import render_profile, render_user
from slack_mcp.simulator.workspace import Workspace

LONGEST_STATUS = 100
_SETTABLE = frozenset({"display_name", "real_name", "title", "status_text", "status_emoji", "status_expiration"})


def user_info(workspace: Workspace, args: Args) -> Answer:
    """users.info."""
    return Answer(body={"user": _shown(workspace, _find(workspace, args.text("user")))})


def user_list(workspace: Workspace, args: Args) -> Answer:
    """users.list: bots and deactivated users too."""
    page, paging = slice_items(list(workspace.users.values()), args)
    body = {"members": [_shown(workspace, user) for user in page], "cache_ts": int(workspace.now_s())}
    return Answer(body=body | paging)


def lookup_by_email(workspace: Workspace, args: Args) -> Answer:
    """users.lookupByEmail: active people only."""
    email = args.required("email", "users_not_found").lower()
    for user in workspace.users.values():
        if user.email.lower() == email and not user.is_deleted and not user.is_bot:
            return Answer(body={"user": _shown(workspace, user)})
    raise SlackRefusalError("users_not_found")


def profile_get(workspace: Workspace, args: Args) -> Answer:
    """users.profile.get: of a user, or of the caller."""
    user = _find(workspace, args.text("user") or workspace.actor.user_id)
    return Answer(body={"profile": _profile(workspace, user.user_id)})


def profile_set(workspace: Workspace, args: Args) -> Answer:
    """users.profile.set: the caller's own, as `profile` or as one `name` and `value`."""
    me = workspace.actor.user_id
    if args.text("user", me) != me:
        raise SlackRefusalError("not_admin")
    given: Json | None = args.nested("profile", dict, "invalid_profile")
    changes = given if given is not None else {args.required("name", "invalid_profile"): args.text("value")}
    if not changes or not changes.keys() <= _SETTABLE:
        raise SlackRefusalError("invalid_profile")
    if len(str(changes.get("status_text", ""))) > LONGEST_STATUS:
        raise SlackRefusalError("too_long")
    envelopes = acts.change_user(workspace, me, changes)
    return Answer(body={"username": workspace.users[me].name, "profile": _profile(workspace, me)}, envelopes=envelopes)


def get_presence(workspace: Workspace, args: Args) -> Answer:
    """users.getPresence: of a user; of the caller with more about their connections."""
    user = _find(workspace, args.text("user") or workspace.actor.user_id)
    body: Json = {"presence": "active" if user.is_active else "away"}
    if user.user_id == workspace.actor.user_id:
        body |= {
            "online": user.is_active,
            "auto_away": False,
            "manual_away": not user.is_active,
            "connection_count": int(user.is_active),
        }
    return Answer(body=body)


def dnd_info(workspace: Workspace, args: Args) -> Answer:
    """dnd.info: whether a user, or the caller, takes no notifications now; for an hour when they do not."""
    user = _find(workspace, args.text("user") or workspace.actor.user_id)
    now_s = int(workspace.now_s())
    span = (now_s, now_s + 3600) if user.is_do_not_disturb else (1, 1)
    return Answer(
        body={
            "dnd_enabled": user.is_do_not_disturb,
            "next_dnd_start_ts": span[0],
            "next_dnd_end_ts": span[1],
            "snooze_enabled": False,
        }
    )


def _find(workspace: Workspace, user_id: str) -> User:
    user = workspace.users.get(user_id)
    if user is None:
        raise SlackRefusalError("user_not_found")
    return user


def _profile(workspace: Workspace, user_id: str) -> Json:
    user = workspace.users[user_id]
    return render_profile(user, workspace.team_id, with_email=workspace.actor.may("users:read.email"))


def _shown(workspace: Workspace, user: User) -> Json:
    return render_user(user, workspace.team_id, with_email=workspace.actor.may("users:read.email"))


PEOPLE_METHODS: dict[str, tuple[Method, str]] = {
    "dnd.info": (dnd_info, "dnd:read"),
    "users.getPresence": (get_presence, "users:read"),
    "users.info": (user_info, "users:read"),
    "users.list": (user_list, "users:read"),
    "users.lookupByEmail": (lookup_by_email, "users:read.email"),
    "users.profile.get": (profile_get, "users.profile:read"),
    "users.profile.set": (profile_set, "users.profile:write"),
}
"""Each method with the scope it needs."""
