"""What a workspace keeps for later: scheduled messages, reminders, views, and what it shows of an app at work."""

from dataclasses import dataclass, field

from slack_mcp.simulator.access import Actor
from slack_mcp.simulator.artifacts import new_id
from slack_mcp.simulator.model import Json, SlackRefusalError

DEEPEST_STACK = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """A message that waits for its time. `content` are the further arguments of `Workspace.post`."""

    scheduled_id: str
    channel_id: str
    post_at: int
    created_s: int
    text: str
    actor: Actor
    content: Json = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Reminder:
    """What a person wants to be reminded of; `completed_s` is 0 until they are done with it."""

    reminder_id: str
    user_id: str
    text: str
    at_s: int
    completed_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a thread shows of an app at work, such as "is thinking…", until `expires_s`; `loading` takes turns."""

    text: str
    loading: tuple[str, ...]
    expires_s: float


@dataclass(slots=True, kw_only=True)
class Session:
    """An agent session of a thread; `user_id` is whoever it was begun for."""

    status: str
    title: str = ""
    user_id: str | None = None


@dataclass(slots=True, kw_only=True)
class View:
    """A home view or a modal that a user sees.

    Attributes:
        content: the view as the app sent it.
        root_id: the modal at the bottom of its stack, which may be itself.
        previous_id: the modal below it.
    """

    view_id: str
    user_id: str
    content: Json
    hash: str
    root_id: str
    previous_id: str | None = None

    @property
    def external_id(self) -> str:
        """The app's own id of it, or nothing."""
        return str(self.content.get("external_id", ""))


class Views:
    """The published home views by user and the open modals by view id, oldest first."""

    def __init__(self) -> None:
        self.home: dict[str, View] = {}
        self.modals: dict[str, View] = {}

    def publish(self, user_id: str, content: Json) -> View:
        """Replace a user's home view and return it."""
        shown = self.home.get(user_id)
        view_id = shown.view_id if shown is not None else new_id("V")
        self.home[user_id] = View(view_id=view_id, user_id=user_id, content=content, hash=new_id("h"), root_id=view_id)
        return self.home[user_id]

    def open(self, user_id: str, content: Json, *, on: View | None = None) -> View:
        """Open a modal, by itself or on top of another one, and return it.

        Raises:
            SlackRefusalError: push_limit_reached, for a fourth on top of each other.
        """
        view_id = new_id("V")
        root_id = view_id if on is None else on.root_id
        if sum(each.root_id == root_id for each in self.modals.values()) >= DEEPEST_STACK:
            raise SlackRefusalError("push_limit_reached")
        self.modals[view_id] = View(
            view_id=view_id,
            user_id=user_id,
            content=content,
            hash=new_id("h"),
            root_id=root_id,
            previous_id=None if on is None else on.view_id,
        )
        return self.modals[view_id]

    def top(self, user_id: str) -> View | None:
        """Return the modal that a user sees; None when none is open."""
        return next((each for each in reversed(self.modals.values()) if each.user_id == user_id), None)

    def find(self, view_id: str, external_id: str) -> View:
        """Return a view by one of its ids. Raises SlackRefusalError not_found."""
        for view in (*self.modals.values(), *self.home.values()):
            if view.view_id == view_id or (external_id and view.external_id == external_id):
                return view
        raise SlackRefusalError("not_found")

    def close(self, view_id: str) -> None:
        """Close a modal and those on top of it. Raises SlackRefusalError not_found."""
        closed = {self.find(view_id, "").view_id}
        for each in list(self.modals.values()):
            if each.previous_id in closed:
                closed.add(each.view_id)
        for each_id in closed:
            self.modals.pop(each_id, None)
