"""The simulator: workspaces, the record of calls, faults and deliveries in one place."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from slack_mcp.core.clock import Clock, SystemClock
from slack_mcp.simulator import oauth
from slack_mcp.simulator.calls import CallLog
from slack_mcp.simulator.changes import Changes
from slack_mcp.simulator.deliveries import TIMEOUT_S, Deliverer, Delivery
from slack_mcp.simulator.faults import Faults
from slack_mcp.simulator.gestures import Gestures
from slack_mcp.simulator.model import Json, Message, SlackRefusalError
from slack_mcp.simulator.render import render_message
from slack_mcp.simulator.workspace import Posted, Workspace


class Simulator:
    """Slack, as far as the service sees it.

    Args:
        targets: base URLs of the app's pods; events go to `/slack/events/{connection_id}` of each in turn.
        time_scale: multiplies Slack's retry delays.
        deliver_bot_messages: deliver the events of the bot's own messages too, as Slack does.
    """

    def __init__(
        self,
        *workspaces: Workspace,
        targets: Sequence[str] = (),
        time_scale: float = 1.0,
        timeout_s: float = TIMEOUT_S,
        concurrency: int = 64,
        deliver_bot_messages: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.calls = CallLog()
        self.faults = Faults()
        self.changes = Changes()
        self.deliver_bot_messages = deliver_bot_messages
        self.deliverer = Deliverer(
            clock=self.clock,
            targets=targets,
            time_scale=time_scale,
            timeout_s=timeout_s,
            concurrency=concurrency,
            on_change=self.changes.notify,
        )
        self._base_url = "http://127.0.0.1:1"
        self.workspaces: dict[str, Workspace] = {}
        self.gestures = Gestures(
            workspaces=self.workspaces,
            deliverer=self.deliverer,
            deliver_own=self.deliver_own,
            on_change=self.changes.notify,
        )
        self._team_by_token: dict[str, str] = {}
        for workspace in workspaces:
            self.add_workspace(workspace)

    def add_workspace(self, workspace: Workspace) -> Workspace:
        """Add a workspace and return it. Raises ValueError for a team id or token that another one has."""
        if workspace.team_id in self.workspaces or workspace.bot_token in self._team_by_token:
            raise ValueError(f"workspace {workspace.team_id} or its token is there already")
        self.workspaces[workspace.team_id] = workspace
        workspace.shelf.base_url = self.base_url
        self._team_by_token[workspace.bot_token] = workspace.team_id
        workspace.on_change.append(self._publisher(workspace))
        return workspace

    @property
    def base_url(self) -> str:
        """Where this simulator answers: what uploads, downloads and response URLs begin with. `serve` sets it."""
        return self._base_url

    @base_url.setter
    def base_url(self, base_url: str) -> None:
        self._base_url = base_url
        for workspace in self.workspaces.values():
            workspace.shelf.base_url = base_url

    def rotate_token(self, team_id: str, bot_token: str) -> None:
        """Replace a workspace's token; the old one is unknown from now on."""
        workspace = self.workspaces[team_id]
        del self._team_by_token[workspace.bot_token]
        workspace.bot_token = bot_token
        self._team_by_token[bot_token] = team_id

    def renew_token(self, client: tuple[str, str], args: Json) -> Json:
        """Return the answer to oauth.v2.access, which uses up a refresh token; the token before is unknown then.

        Raises:
            SlackRefusalError: the client or the refresh token is not known.
        """
        wanted = str(args.get("refresh_token") or "")
        workspace = next(
            (each for each in self.workspaces.values() if each.rotation and each.rotation.refresh_token == wanted), None
        )
        rotation = oauth.check(workspace.rotation if workspace else None, client, args)
        if workspace is None or workspace.is_revoked:
            raise SlackRefusalError("invalid_refresh_token")
        self.rotate_token(workspace.team_id, rotation.renew(self.clock.now_s()))
        return {
            "access_token": workspace.bot_token,
            "refresh_token": rotation.refresh_token,
            "expires_in": rotation.lifetime_s,
            "token_type": "bot",
            "scope": workspace.scopes,
            "bot_user_id": workspace.install.bot_user_id,
            "app_id": workspace.install.app_id,
            "team": {"id": workspace.team_id, "name": workspace.team_name},
            "enterprise": None,
            "is_enterprise_install": False,
        }

    def workspace_of_token(self, token: str) -> Workspace | None:
        """Return the workspace of a bot's or a user's token; None for an unknown one."""
        team_id = self._team_by_token.get(token)
        if team_id is not None:
            return self.workspaces[team_id]
        return next((each for each in self.workspaces.values() if token in each.user_tokens), None)

    def team_of_channel(self, channel_id: str, *, preferred: Workspace | None) -> str | None:
        """Return whose channel it is; `preferred` wins where several workspaces use the same id."""
        if preferred is not None and channel_id in preferred.channels:
            return preferred.team_id
        for team_id, workspace in self.workspaces.items():
            if channel_id in workspace.channels:
                return team_id
        return None

    def say(self, team_id: str, user: str, channel: str, text: str, thread_ts: str | None = None) -> Posted:
        """Let a person write a message and deliver its events in the background. Raises what `Workspace.say` does."""
        workspace = self.workspaces[team_id]
        posted = workspace.say(user, channel, text, thread_ts)
        self.deliverer.submit(workspace, posted.envelopes)
        return posted

    async def deliver(self, team_id: str, envelope: Json) -> Delivery:
        """Deliver one envelope, with Slack's retries, and return what became of it."""
        return await self.deliverer.deliver(self.workspaces[team_id], envelope)

    def deliver_own(self, workspace: Workspace, envelopes: Sequence[Json]) -> None:
        """Deliver the events that the bot's own calls caused, in the background."""
        if self.deliver_bot_messages:
            self.deliverer.submit(workspace, envelopes)

    async def wait_for_answer(
        self,
        team_id: str,
        channel: str,
        thread_ts: str,
        *,
        text: str = "",
        is_whole: bool = False,
        timeout_s: float = 10.0,
    ) -> Message:
        """Return the bot's first message in a thread that contains `text`, waiting for it. Raises TimeoutError.

        `is_whole` waits until it streams no more.
        """
        workspace = self.workspaces[team_id]
        found: list[Message] = []

        def has_answer() -> bool:
            bot_id = workspace.install.bot_id
            found[:] = [
                each
                for each in workspace.thread(channel, thread_ts)
                if each.bot_id == bot_id and text in each.text and not (is_whole and each.is_streaming)
            ]
            return bool(found)

        await self.changes.wait_until(has_answer, timeout_s=timeout_s)
        return found[0]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver events for as long as the context is open."""
        async with self.deliverer.running():
            try:
                yield
            finally:
                self.changes.close()

    def _publisher(self, workspace: Workspace) -> "ChangePublisher":
        return ChangePublisher(workspace=workspace, changes=self.changes)


class ChangePublisher:
    """Hands a workspace's message changes to the watchers, as the page shows them."""

    def __init__(self, *, workspace: Workspace, changes: Changes) -> None:
        self._workspace = workspace
        self._changes = changes

    def __call__(self, action: str, message: Message) -> None:
        """Publish one change."""
        self._changes.publish(
            {
                "action": action,
                "team_id": self._workspace.team_id,
                "channel": message.channel_id,
                "message": render_message(message, self._workspace.install),
            }
        )
