"""One call of a tool: who calls, for which connection, and the doors through which the tool reaches Slack."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel

from slack_mcp.connections.configure import Configurator
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import ForbiddenError
from slack_mcp.core.ids import ChannelId, UserId
from slack_mcp.core.model import Access, Connection
from slack_mcp.ports.audit import AuditLog
from slack_mcp.ports.directory import Directory
from slack_mcp.ports.names import NameAnnouncer, Names
from slack_mcp.ports.questions import Questions
from slack_mcp.ports.slack import SlackFile, SlackWeb, SlackWebs
from slack_mcp.ports.threads import ThreadMemory
from slack_mcp.tools.approvals import WAIT_S, Approvals, Write
from slack_mcp.tools.caller import Caller, Principal
from slack_mcp.tools.policy import check_write
from slack_mcp.triggers.configure import MeshTriggers

# Opening a conversation shows nobody anything; what is then written into it is checked.
_NEUTRAL: Final = frozenset({"conversations.open"})
# Sent by POST because of its size, and changes nothing.
_CHANGES_NOTHING: Final = frozenset({"blocks.validate"})
_TARGETS: Final = (
    *("ts", "timestamp", "user", "user_id", "users", "file", "usergroup", "canvas_id", "list_id", "id", "name"),
    *("bookmark_id", "channel_ids", "user_ids"),
)
# What people may write anything into.
_TITLES: Final = frozenset({("slackLists.create", "name")})
MAX_TARGET_CHARS: Final = 200
# An id, `<@U…>`, `@name` or an e-mail; a channel's name is in lower case and has no `@`.
_NAMES_A_PERSON: Final = re.compile(r"[UW][A-Z0-9]{5,}$|<@|@|[^\s/@]+@[^\s/@]+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the tools work with.

    Attributes:
        configurator: saves what Mesh configures; None where no Mesh can (stdio).
        public_url: where Slack reaches this service, None when the operator did not say.
        questions: asks people; None where no click can come in.
        announcer: tells every pod what is not to be believed any more; None where nothing is kept that others change.
        approval_wait_s: seconds that a call waits for a person's approval, where it needs one.
    """

    configurator: Configurator | None
    public_url: str | None
    directory: Directory
    slack: SlackWebs
    names: Names
    audit: AuditLog
    threads: ThreadMemory
    clock: Clock
    triggers: MeshTriggers | None = None
    questions: Questions | None = None
    announcer: NameAnnouncer | None = None
    approval_wait_s: float = WAIT_S


@dataclass(slots=True, kw_only=True)
class Call:
    """One call; made anew for each.

    Attributes:
        tool: its name.
        access: the tool's own.
        principal, connection: known for every tool but those for apps.
        targets: what was written to so far, or was not to be, for the audit: ids, never text.
        tools: all that there are, for a tool that tells of them.
        arguments: as the tool takes them.
        is_approved: a person has let the call write outside of the thread that the bot is answering in.
    """

    services: Services
    caller: Caller
    tool: str
    access: Access
    identity: tuple[Principal, Connection] | None = None
    targets: list[str] = field(default_factory=list)
    tools: Sequence[Any] = ()
    arguments: BaseModel | None = None
    is_approved: bool = False

    @property
    def principal(self) -> Principal:
        """Who calls."""
        return self._get_identity()[0]

    @property
    def connection(self) -> Connection:
        """For which connection."""
        return self._get_identity()[1]

    @property
    def bot(self) -> SlackWeb:
        """The Web API with the connection's bot token."""
        return CheckedSlack(self, self.services.slack.open(self.connection))

    @property
    def user(self) -> SlackWeb:
        """The Web API with the connection's user token; raises UserTokenMissingError."""
        return CheckedSlack(self, self.services.slack.open_as_user(self.connection))

    @property
    def asker(self) -> SlackWeb:
        """The Web API of the bot for a question to people, which waits for no other answer of theirs."""
        return CheckedSlack(self, self.services.slack.open(self.connection), is_question=True)

    async def check_write(self, method: str, arguments: dict[str, Any]) -> None:
        """Return when the connection's policy lets a Web API call write, once a person has approved what needs it.

        Raises:
            ForbiddenError: it does not, or a person said no.
            ApprovalPendingError: a person has not said anything yet.
            SlackApiError, StoreError: it could not be found out.
        """
        policy = self.connection.settings.tools
        check_write(policy, arguments)
        if policy.approve_outside_thread and not self.is_approved:
            self.is_approved = await self._require_approval(method, arguments)

    async def _require_approval(self, method: str, arguments: dict[str, Any]) -> bool:
        services = self.services
        if services.questions is None:
            raise ForbiddenError(
                "This connection's policy lets tools write only what somebody approves with a click, and no click can "
                "come in here."
            )
        approvals = Approvals(
            threads=services.threads,
            questions=services.questions,
            names=services.names,
            audit=services.audit,
            clock=services.clock,
            wait_s=services.approval_wait_s,
        )
        given = self.arguments
        write = Write(
            connection=self.connection,
            actor=self.principal.subject,
            tool=self.tool,
            given={} if given is None else given.model_dump(mode="json"),
            shown={} if given is None else given.model_dump(mode="json", exclude_defaults=True),
            method=method,
            target=arguments,
        )
        return await approvals.require(write, web=services.slack.open(self.connection))

    async def resolve_channel(self, text: str, *, as_user: bool = False) -> ChannelId:
        """Return the conversation that is meant by an id, `#name`, or a link; for a person, the direct message.

        Args:
            text: what the caller wrote.
            as_user: for the user token's own direct message with the person, not the bot's.

        Raises:
            InvalidInputError: there is none; SlackApiError: Slack had to be asked.
        """
        if _NAMES_A_PERSON.match(text):
            user_id = await self.resolve_user(text)
            slack = self.services.slack
            api = slack.open_as_user(self.connection) if as_user else slack.open(self.connection)
            answer = await CheckedSlack(self, api, may_open=True).write("conversations.open", users=user_id)
            return ChannelId(answer["channel"]["id"])
        return await self.services.names.resolve_channel(self.connection, text)

    async def resolve_user(self, text: str) -> UserId:
        """Return the person that is meant by an id, `@name` or an e-mail; raises InvalidInputError, SlackApiError."""
        return await self.services.names.resolve_user(self.connection, text)

    def _get_identity(self) -> tuple[Principal, Connection]:
        if self.identity is None:
            raise RuntimeError(f"{self.tool} is for apps: it has no connection before its token says which")
        return self.identity


class CheckedSlack:
    """`ports.slack.SlackWeb` behind the connection's policy, which no tool gets around.

    Args:
        may_open: whether a tool that only reads may open a direct message, to read it.
        is_question: whether what is written asks people something, and is not itself asked about.
    """

    def __init__(self, call: Call, api: SlackWeb, *, may_open: bool = False, is_question: bool = False) -> None:
        self._call = call
        self._api = api
        self._may_open = may_open
        self._is_question = is_question

    async def read(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """Return the answer of a method that changes nothing."""
        return await self._api.read(method, **arguments)

    async def write(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """Return the answer of a method that changes something.

        Raises:
            ForbiddenError: the policy does not let the tools write there, or a person does not.
            ApprovalPendingError: a person has not said anything yet.
        """
        call = self._call
        if method in _CHANGES_NOTHING:
            return await self._api.write(method, **arguments)
        if method in _NEUTRAL and (self._may_open or call.access is not Access.READ):
            return await self._api.write(method, **arguments)
        if call.access is Access.READ:
            raise RuntimeError(f"{call.tool} says that it only reads, and calls {method}")
        call.targets.append(_render_target(method, arguments))
        if self._is_question:
            check_write(call.connection.settings.tools, arguments)
        else:
            await call.check_write(method, arguments)
        return await self._api.write(method, **arguments)

    async def upload(self, upload_url: str, content: bytes) -> None:
        """Send a file's bytes; it shows nowhere before it is shared, which is a write."""
        await self._api.upload(upload_url, content)

    async def download(self, url: str, *, max_bytes: int) -> SlackFile:
        """Return a file's bytes."""
        return await self._api.download(url, max_bytes=max_bytes)


def _render_target(method: str, arguments: Mapping[str, Any]) -> str:
    """Return the ids that a write names, such as `C1/1700000000.000100`."""
    channel = arguments.get("channel") or arguments.get("channel_id")
    values = [channel, *(arguments.get(name) for name in _TARGETS if (method, name) not in _TITLES)]
    texts = [",".join(value) if isinstance(value, list) else value for value in values]
    return "/".join(text for text in texts if isinstance(text, str) and text)[:MAX_TARGET_CHARS]
