from collections.abc import Awaitable, Callable

import anyio
import pytest
from names_fakes import ListingSlack, make_rate_limit
from stepping_clock import SteppingClock
from store_samples import make_connection

from slack_mcp.cache import TtlCache
from slack_mcp.core.errors import InvalidInputError, MissingScopeError, RateLimitedError, SlackApiError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.names.fetch import choose_types
from slack_mcp.names.kept import MISSING_TTL_S, NAME_TTL_S
from slack_mcp.names.resolve import MAX_LOOKUPS, MAX_SWEEP_PAGES, SWEEP_FROM, CachedNames
from slack_mcp.names.walk import MAX_PAGES
from slack_mcp.ports.names import NameChange, NameKind

pytestmark = pytest.mark.anyio

A, B = ConnectionId("conn_a"), ConnectionId("conn_b")
ACME, GLOBEX = make_connection(A, bot_scopes=None), make_connection(B, bot_scopes=None)
ANN, BEN = "U00ANN", "U00BEN"
GENERAL = "C00GENERAL"


@pytest.fixture
def slack() -> ListingSlack:
    slack = ListingSlack()
    slack.add_channel(A, GENERAL, "general")
    slack.add_person(A, ANN, "ann", display_name="Annie", real_name="Ann Lee", email="ann@acme.example")
    slack.add_person(A, BEN, "ben", display_name="", real_name="Ben Ray")
    return slack


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest.fixture
def names(slack: ListingSlack, clock: SteppingClock) -> CachedNames:
    return CachedNames(slack=slack, clock=clock)


def change(kind: NameKind, of_id: str = "", connection_id: ConnectionId = A) -> NameChange:
    return NameChange(connection_id=connection_id, kind=kind, id=of_id)


async def test_nothing_is_read_before_somebody_asks(slack: ListingSlack, names: CachedNames) -> None:
    for text in (GENERAL, f"<#{GENERAL}|general>", f"https://x.slack.com/archives/{GENERAL}/p17", f" {GENERAL} "):
        assert await names.resolve_channel(ACME, text) == GENERAL
    for text in (ANN, f"<@{ANN}>", f"https://x.slack.com/team/{ANN}"):
        assert await names.resolve_user(ACME, text) == ANN
    assert await names.find_user_names(ACME, []) == {}
    assert slack.calls == []


@pytest.mark.parametrize("text", ["@ann", "ANN", "annie", "Ann Lee", "ann@acme.example", "Ann@ACME.example"])
async def test_person_is_found_once_and_remembered(slack: ListingSlack, names: CachedNames, text: str) -> None:
    slack.people[A, ANN]["profile"]["email"] = text  # Slack does not look at capitals
    for _ in range(3):
        assert await names.resolve_user(ACME, text) == ANN
    assert len(slack.calls) == 1


async def test_walk_keeps_what_it_saw(slack: ListingSlack, names: CachedNames) -> None:
    slack.add_channel(A, "C00RANDOM", "random")
    assert await names.resolve_channel(ACME, "#general") == GENERAL
    assert await names.resolve_channel(ACME, "random") == "C00RANDOM"
    assert await names.find_channel_names(ACME, [GENERAL, "C00RANDOM"]) == {GENERAL: "general", "C00RANDOM": "random"}
    assert slack.count(A) == {"conversations.list": 1}


@pytest.mark.parametrize("text", ["", "#", "@", "  ", "#nowhere", "no one"])
async def test_what_is_not_there_is_said_and_soon_asked_again(
    slack: ListingSlack, names: CachedNames, clock: SteppingClock, text: str
) -> None:
    for _ in range(2):
        with pytest.raises(InvalidInputError, match="SLACK_LIST_CHANNELS"):
            await names.resolve_channel(ACME, text)
        with pytest.raises(InvalidInputError, match="SLACK_SEARCH_USERS"):
            await names.resolve_user(ACME, text)
    assert len(slack.calls) <= 2
    slack.add_channel(A, "C00NOWHERE", "nowhere")
    clock.time_s += MISSING_TTL_S
    if text == "#nowhere":
        assert await names.resolve_channel(ACME, text) == "C00NOWHERE"


async def test_name_of_several_is_not_guessed(slack: ListingSlack, names: CachedNames) -> None:
    slack.add_person(A, "U00ANN2", "ann2", display_name="annie")
    with pytest.raises(InvalidInputError, match=rf"Several are called 'annie' \({ANN}, U00ANN2\)"):
        await names.resolve_user(ACME, "@Annie")
    assert await names.resolve_user(ACME, "@ann") == ANN


async def test_display_name_that_looks_like_an_e_mail_is_not_one(slack: ListingSlack, names: CachedNames) -> None:
    slack.add_person(A, "U00MAL", "mal", display_name="boss@acme.example")
    await names.resolve_user(ACME, "@mal")
    with pytest.raises(InvalidInputError, match="Nobody"):
        await names.resolve_user(ACME, "boss@acme.example")
    slack.add_person(A, "U00BOSS", "boss", email="boss@acme.example")
    assert await names.resolve_user(ACME, "boss@acme.example") == "U00BOSS"


@pytest.mark.parametrize("error", [make_rate_limit(), MissingScopeError("users.list", "users:read")])
async def test_refused_walk_is_no_missing_name(slack: ListingSlack, names: CachedNames, error: SlackApiError) -> None:
    slack.page_size = 1
    slack.errors = [error]
    with pytest.raises(type(error)):
        await names.resolve_channel(ACME, "general")
    assert await names.resolve_channel(ACME, "general") == GENERAL
    slack.errors = [error]
    with pytest.raises(type(error)):
        await names.resolve_user(ACME, "ben")
    assert await names.resolve_user(ACME, "ben") == BEN


async def test_those_who_ask_at_once_share_one_walk_and_its_error(slack: ListingSlack, names: CachedNames) -> None:
    for error in (None, make_rate_limit()):
        slack.gate = anyio.Event()
        slack.calls.clear()
        slack.errors = [error] if error else []
        answers: list[object] = []
        async with anyio.create_task_group() as tasks:
            for name in ("ann", "ben", "ann", "nobody"):
                tasks.start_soon(ask, lambda name=name: names.resolve_user(ACME, name), answers)
            await anyio.wait_all_tasks_blocked()
            slack.gate.set()
        assert slack.count(A)["users.list"] == 1
        if error:
            assert all(isinstance(each, RateLimitedError) for each in answers)
        else:
            assert answers.count(ANN) == 2
            assert answers.count(BEN) == 1
            assert sum(isinstance(each, InvalidInputError) for each in answers) == 1
        names.clear()


async def ask(question: Callable[[], Awaitable[object]], answers: list[object]) -> None:
    try:
        answers.append(await question())
    except (InvalidInputError, RateLimitedError) as error:
        answers.append(error)


async def test_somebody_else_walks_when_the_walker_is_cancelled(slack: ListingSlack, names: CachedNames) -> None:
    slack.gate = anyio.Event()
    answers: list[object] = []
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as first:
                first.start_soon(ask, lambda: names.resolve_user(ACME, "ann"), answers)
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(ask, lambda: names.resolve_user(ACME, "ben"), answers)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
        await anyio.wait_all_tasks_blocked()
        slack.gate.set()
    assert answers == [BEN]
    assert slack.count(A) == {"users.list": 2}


async def test_walk_of_channels_ends_where_the_name_is(slack: ListingSlack, names: CachedNames) -> None:
    slack.page_size = 1
    for number in range(9):
        slack.add_channel(A, f"C00TEAM{number}", f"team-{number}")
    assert await names.resolve_channel(ACME, "team-2") == "C00TEAM2"
    assert len(slack.calls) == 4
    assert await names.resolve_channel(ACME, "team-1") == "C00TEAM1"
    assert len(slack.calls) == 4


async def test_walk_is_bounded_and_does_not_pretend_to_have_seen_all(slack: ListingSlack, names: CachedNames) -> None:
    slack.endless = True
    with pytest.raises(InvalidInputError, match="too large"):
        await names.resolve_channel(ACME, "nowhere")
    with pytest.raises(InvalidInputError, match="an id or an e-mail"):
        await names.resolve_user(ACME, "ann")  # another one may come after those that were seen
    assert len(slack.calls) == 2 * MAX_PAGES
    assert await names.resolve_channel(ACME, "general") == GENERAL


async def test_renamed_channel_is_found_by_its_new_name_only(slack: ListingSlack, names: CachedNames) -> None:
    await names.resolve_channel(ACME, "general")
    with pytest.raises(InvalidInputError):
        await names.resolve_channel(ACME, "all")
    slack.add_channel(A, GENERAL, "all")
    assert names.forget(change(NameKind.CHANNEL, GENERAL)) == 1
    assert await names.resolve_channel(ACME, "#all") == GENERAL
    with pytest.raises(InvalidInputError):
        await names.resolve_channel(ACME, "#general")
    assert await names.find_channel_names(ACME, [GENERAL]) == {GENERAL: "all"}


async def test_news_of_a_person_cost_one_call_for_that_person(slack: ListingSlack, names: CachedNames) -> None:
    await names.resolve_user(ACME, "annie")
    names.forget(change(NameKind.USER, ANN))
    slack.calls.clear()
    assert await names.resolve_user(ACME, "annie") == ANN
    assert await names.resolve_user(ACME, "ann") == ANN
    assert slack.count(A) == {"users.info": 1}
    slack.people[A, ANN]["deleted"] = True
    names.forget(change(NameKind.USER, ANN))
    with pytest.raises(InvalidInputError, match="nobody called"):
        await names.resolve_user(ACME, "annie")


async def test_answer_that_was_on_its_way_when_news_came_is_not_kept(slack: ListingSlack, names: CachedNames) -> None:
    for kind, forgotten in ((NameKind.CHANNEL, GENERAL), (NameKind.CONNECTION, "")):
        slack.add_channel(A, GENERAL, "general")
        names.clear()
        slack.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(names.resolve_channel, ACME, "general")
            tasks.start_soon(names.find_channel_names, ACME, [GENERAL])
            await anyio.wait_all_tasks_blocked()
            slack.add_channel(A, GENERAL, "all")
            names.forget(change(kind, forgotten))
            slack.gate.set()
        assert await names.find_channel_names(ACME, [GENERAL]) == {GENERAL: "all"}
        with pytest.raises(InvalidInputError):
            await names.resolve_channel(ACME, "general")


async def test_names_are_kept_for_an_hour(slack: ListingSlack, names: CachedNames, clock: SteppingClock) -> None:
    await names.resolve_user(ACME, "ann")
    clock.time_s += NAME_TTL_S - 1
    await names.resolve_user(ACME, "ann")
    assert len(slack.calls) == 1
    clock.time_s += 1
    await names.resolve_user(ACME, "ann")
    assert len(slack.calls) == 2


async def test_few_names_are_asked_for_one_by_one_and_many_at_once(slack: ListingSlack, names: CachedNames) -> None:
    assert await names.find_user_names(ACME, [ANN, BEN, "B00BOT", "U00GONE", ""]) == {
        ANN: "Annie",
        BEN: "Ben Ray",
        "B00BOT": "helper",
    }
    assert slack.count(A) == {"users.info": 3, "bots.info": 1}
    await names.find_user_names(ACME, [ANN, "U00GONE"])
    assert len(slack.calls) == 4
    many = [f"U0P{number:04}" for number in range(SWEEP_FROM + 1)]
    for each in many:
        slack.add_person(A, each, each.lower())
    slack.calls.clear()
    assert len(await names.find_user_names(ACME, many)) == len(many)
    assert slack.count(A) == {"users.list": 1}


async def test_names_of_a_huge_workspace_cost_a_bounded_number_of_calls(
    slack: ListingSlack, names: CachedNames
) -> None:
    slack.endless = True
    many = [f"U0P{number:04}" for number in range(500)]
    slack.people = {(A, each): {"id": each, "name": each.lower()} for each in many}
    slack.page_size = 10
    found = await names.find_user_names(ACME, many)
    assert len(found) == MAX_SWEEP_PAGES * 10 + MAX_LOOKUPS
    assert slack.count(A) == {"users.list": MAX_SWEEP_PAGES, "users.info": MAX_LOOKUPS}


async def test_names_that_only_decorate_never_fail_and_a_rate_limit_ends_the_asking(
    slack: ListingSlack, names: CachedNames
) -> None:
    slack.errors = [make_rate_limit("users.info") for _ in range(100)]
    many = [f"U0P{number:04}" for number in range(SWEEP_FROM)]
    assert await names.find_user_names(ACME, many) == {}
    assert len(slack.calls) <= 8
    assert await names.find_user_names(ACME, [*many, ANN]) == {}
    slack.errors = []
    assert await names.find_user_names(ACME, [ANN]) == {ANN: "Annie"}


async def test_names_of_one_connection_are_never_those_of_another(slack: ListingSlack, names: CachedNames) -> None:
    slack.add_channel(B, "C00OTHER", "general")
    slack.add_person(B, ANN, "ann", display_name="Another Ann")
    for connection, channel, name in ((ACME, GENERAL, "Annie"), (GLOBEX, "C00OTHER", "Another Ann")):
        assert await names.resolve_channel(connection, "general") == channel
        assert await names.resolve_user(connection, "ann") == ANN
        assert await names.find_user_names(connection, [ANN]) == {ANN: name}
    with pytest.raises(InvalidInputError):
        await names.resolve_user(GLOBEX, "ben")
    slack.calls.clear()
    assert names.forget(change(NameKind.CONNECTION, connection_id=B)) == 2
    await names.resolve_user(ACME, "ann")
    assert slack.calls == []
    await names.resolve_user(GLOBEX, "ann")
    assert slack.calls == [(B, "users.list")]


@pytest.mark.parametrize(
    ("scopes", "types"),
    [
        (None, "public_channel,private_channel"),
        (frozenset({"channels:read"}), "public_channel"),
        (frozenset({"groups:read"}), "private_channel"),
        (frozenset(), "public_channel,private_channel"),
    ],
)
def test_only_those_kinds_are_listed_that_the_token_may_see(scopes: frozenset[str] | None, types: str) -> None:
    assert choose_types(make_connection(A, bot_scopes=scopes)) == types


def test_cache_forgets_what_is_meant_and_nothing_else(clock: SteppingClock) -> None:
    cache: TtlCache[tuple[str, int], str] = TtlCache(clock=clock, max_entries=10)
    for key in (("a", 1), ("b", 1), ("a", 2)):
        cache.put(key, "x", ttl_s=1)
    assert cache.drop_where(lambda key: key[0] == "a") == 2
    assert (cache.get(("b", 1)), len(cache)) == ("x", 1)
