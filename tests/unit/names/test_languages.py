import anyio
import pytest
from bot_fakes import make_connection
from names_fakes import ListingSlack
from stepping_clock import SteppingClock

from slack_mcp.core.errors import MissingScopeError, SlackRefusedError
from slack_mcp.core.ids import UserId
from slack_mcp.core.model import ConnectionSettings
from slack_mcp.names.languages import FAILED_TTL_S, LOOKUP_TIMEOUT_S, PersonalLanguages
from slack_mcp.names.resolve import CachedNames
from slack_mcp.ports.names import NameChange, NameKind

pytestmark = pytest.mark.anyio

ANN = UserId("UANN00")
IN_ENGLISH = make_connection()
IN_PORTUGUESE = make_connection(settings=ConnectionSettings(language="pt-BR"))


class World:
    def __init__(self, locale: str | None = None) -> None:
        self.slack, self.clock = ListingSlack(), SteppingClock()
        self.names = CachedNames(slack=self.slack, clock=self.clock)
        self.languages = PersonalLanguages(names=self.names, clock=self.clock)
        self.set_locale(locale)

    def set_locale(self, locale: str | None) -> None:
        self.slack.add_person("conn_1", ANN, "ann")
        if locale is not None:
            self.slack.people["conn_1", ANN]["locale"] = locale

    @property
    def lookups(self) -> int:
        return self.slack.count("conn_1")["users.info"]


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        ("pt-BR", "pt-BR"),
        ("pt-PT", "pt-BR"),
        ("en-US", "en"),
        ("en-GB", "en"),
        ("de-DE", None),
        ("", None),
        (None, None),
    ],
)
async def test_a_person_is_spoken_to_in_their_own_language_or_else_in_the_connections(
    locale: str | None, language: str | None
) -> None:
    world = World(locale)
    assert await world.languages.find_language(IN_ENGLISH, ANN) == (language or "en")
    assert await world.languages.find_language(IN_PORTUGUESE, ANN) == (language or "pt-BR")
    assert world.lookups == 1


async def test_who_changes_their_language_is_spoken_to_in_the_new_one() -> None:
    world = World("pt-BR")
    await world.languages.find_language(IN_ENGLISH, ANN)
    world.set_locale("en-US")
    world.names.forget(NameChange(connection_id=IN_ENGLISH.connection_id, kind=NameKind.USER, id=ANN))
    assert await world.languages.find_language(IN_PORTUGUESE, ANN) == "en"


async def test_somebody_whom_slack_does_not_know_is_asked_about_once() -> None:
    world = World()
    for _ in range(2):
        assert await world.languages.find_language(IN_PORTUGUESE, UserId("UNOBODY")) == "pt-BR"
    assert world.lookups == 1


async def test_nobody_in_particular_and_an_app_that_may_not_look_are_spoken_to_in_the_connections() -> None:
    world = World("pt-BR")
    assert await world.languages.find_language(IN_ENGLISH, None) == "en"
    blind = make_connection(bot_scopes=frozenset({"chat:write"}))
    assert await world.languages.find_language(blind, ANN) == "en"
    assert world.lookups == 0


@pytest.mark.parametrize(
    "error", [MissingScopeError("users.info", "users:read"), SlackRefusedError("users.info", "account_inactive")]
)
async def test_what_slack_refuses_is_asked_again_after_a_while(error: MissingScopeError | SlackRefusedError) -> None:
    world = World("pt-BR")
    world.slack.errors.append(error)
    for _ in range(2):
        assert await world.languages.find_language(IN_ENGLISH, ANN) == "en"
    assert world.lookups == 1
    world.clock.time_s += FAILED_TTL_S + 1
    assert await world.languages.find_language(IN_ENGLISH, ANN) == "pt-BR"


async def test_nobody_waits_long_for_a_language() -> None:
    world = World("pt-BR")
    world.slack.gate = anyio.Event()
    with anyio.fail_after(LOOKUP_TIMEOUT_S + 4):
        assert await world.languages.find_language(IN_ENGLISH, ANN) == "en"
