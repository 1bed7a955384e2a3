import re

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity_fakes import FakeKeyStore
from stepping_clock import SteppingClock

from slack_mcp.core.errors import StoreUnavailableError, UnauthenticatedError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Access
from slack_mcp.core.secret import Secret
from slack_mcp.identity.api_keys import (
    BELIEVED_S,
    UNKNOWN_S,
    ApiKeyVerifier,
    NewKey,
    hash_secret,
    is_api_key,
    is_key_id,
    make_key,
)
from slack_mcp.ports.identity import Principal, PrincipalKind

DAY_S = 86_400.0


class Keys:
    """A store, a clock and a verifier."""

    def __init__(self) -> None:
        self.store = FakeKeyStore()
        self.clock = SteppingClock()
        self.verifier = self.open_pod()

    def open_pod(self) -> ApiKeyVerifier:
        return ApiKeyVerifier(store=self.store, clock=self.clock)

    async def add(self, *, access: Access = Access.WRITE, expires_in_s: float | None = None) -> NewKey:
        made = make_key(
            ConnectionId("conn_a"), name="laptop", access=access, expires_in_s=expires_in_s, clock=self.clock
        )
        await self.store.add_key(made.kept)
        return made

    async def refuse(self, text: str) -> str:
        """Return why the key is not believed."""
        with pytest.raises(UnauthenticatedError) as refusal:
            await self.verifier.verify(Secret(text))
        return str(refusal.value)


@pytest.fixture
def keys() -> Keys:
    return Keys()


def test_a_key_is_shown_whole_and_kept_as_a_hash() -> None:
    made = make_key(
        ConnectionId("conn_a"), name="laptop", access=Access.READ, expires_in_s=DAY_S, clock=SteppingClock()
    )
    shown = made.shown.reveal()
    assert re.fullmatch(r"smk_[0-9a-f]{16}_[\w-]{43}", shown)
    secret = shown.split("_", 2)[2]
    assert made.kept.key_hash == hash_secret(secret)
    assert secret not in repr(made)
    assert made.kept.created_at_ms == 1_800_000_000_000
    assert made.kept.expires_at_ms == 1_800_000_000_000 + 86_400_000


def test_no_two_keys_are_alike() -> None:
    clock = SteppingClock()
    made = [
        make_key(ConnectionId("c"), name="n", access=Access.READ, expires_in_s=None, clock=clock) for _ in range(100)
    ]
    assert len({each.kept.key_id for each in made}) == len({each.shown.reveal() for each in made}) == 100


@given(st.binary(min_size=40, max_size=40))
def test_any_random_bytes_make_a_key_that_reads_back(data: bytes) -> None:
    parts = [data[:8], data[8:]]
    made = make_key(
        ConnectionId("c"),
        name="n",
        access=Access.READ,
        expires_in_s=None,
        clock=SteppingClock(),
        make_bytes=lambda size: next(part for part in parts if len(part) == size),
    )
    assert is_api_key(made.shown)
    key_id, secret = made.shown.reveal().removeprefix("smk_").split("_", 1)
    assert is_key_id(key_id)
    assert (key_id, hash_secret(secret)) == (made.kept.key_id, made.kept.key_hash)


@pytest.mark.anyio
@pytest.mark.parametrize("access", list(Access))
async def test_a_good_key_says_whose_it_is(keys: Keys, access: Access) -> None:
    made = await keys.add(access=access)
    assert await keys.verifier.verify(made.shown) == Principal(
        kind=PrincipalKind.API_KEY,
        connection_id=ConnectionId("conn_a"),
        subject=f"key:{made.kept.key_id}",
        access=access,
    )


@pytest.mark.anyio
@pytest.mark.parametrize("text", ["smk_", "smk_1_2", "smk_0123456789abcdef_short", "smk_é", "smk_0123456789ABCDEF_"])
async def test_half_a_key_is_told_from_a_wrong_one(keys: Keys, text: str) -> None:
    assert "not whole" in await keys.refuse(text)
    assert keys.store.loads == 0


@pytest.mark.anyio
async def test_a_wrong_secret_is_told_like_an_unknown_key(keys: Keys) -> None:
    made = await keys.add()
    shown = made.shown.reveal()
    wrong = shown[:-2] + ("AA" if shown[-2:] != "AA" else "BB")
    invented = f"smk_{'0' * 16}_{'x' * 43}"
    reason = await keys.refuse(wrong)
    assert reason == await keys.refuse(invented)
    assert reason.startswith("No such API key")
    assert shown[-43:] not in reason


@pytest.mark.anyio
async def test_an_expired_key_says_so_and_whose_it_was_does_not_matter(keys: Keys) -> None:
    made = await keys.add(expires_in_s=60)
    keys.clock.time_s += 59
    await keys.verifier.verify(made.shown)
    keys.clock.time_s += 1
    assert await keys.refuse(made.shown.reveal()) == (f"The API key {made.kept.key_id} has expired: use another one.")


@pytest.mark.anyio
async def test_a_revoked_key_opens_nothing_after_seconds_on_every_pod(keys: Keys) -> None:
    made = await keys.add()
    pods = [keys.verifier, keys.open_pod()]
    for pod in pods:
        await pod.verify(made.shown)
    await keys.store.revoke_key(made.kept.key_id, now_ms=1)
    assert BELIEVED_S < 5
    keys.clock.time_s += BELIEVED_S
    for pod in pods:
        with pytest.raises(UnauthenticatedError, match="was revoked"):
            await pod.verify(made.shown)


@pytest.mark.anyio
async def test_the_database_is_asked_once_in_a_while_and_not_for_each_request(keys: Keys) -> None:
    made = await keys.add()
    for _ in range(10):
        await keys.verifier.verify(made.shown)
    assert keys.store.loads == 1


@pytest.mark.anyio
async def test_calls_of_one_moment_share_one_look_into_the_database(keys: Keys) -> None:
    made = await keys.add()
    may_answer = anyio.Event()
    keys.store.wait = may_answer.wait
    seen: list[Principal] = []

    async def verify() -> None:
        seen.append(await keys.verifier.verify(made.shown))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(verify)
            await anyio.wait_all_tasks_blocked()
            may_answer.set()
    assert (len(seen), keys.store.loads) == (10, 1)


@pytest.mark.anyio
async def test_one_who_waits_looks_again_when_the_first_look_failed(keys: Keys) -> None:
    made = await keys.add()
    may_answer = anyio.Event()
    keys.store.wait = may_answer.wait
    keys.store.error = StoreUnavailableError("gone")
    ended: list[str] = []

    async def verify() -> None:
        try:
            await keys.verifier.verify(made.shown)
            ended.append("believed")
        except StoreUnavailableError:
            keys.store.error = None
            ended.append("unavailable")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(verify)
            await anyio.wait_all_tasks_blocked()
            may_answer.set()
    assert sorted(ended) == ["believed", "believed", "unavailable"]


@pytest.mark.anyio
async def test_a_key_that_is_made_after_somebody_tried_it_opens_a_second_later(keys: Keys) -> None:
    made = await keys.add()
    del keys.store.rows[made.kept.key_id]
    for _ in range(3):
        await keys.refuse(made.shown.reveal())
    assert keys.store.loads == 1
    await keys.store.add_key(made.kept)
    keys.clock.time_s += UNKNOWN_S
    await keys.verifier.verify(made.shown)


@pytest.mark.anyio
async def test_invented_keys_push_out_no_real_one(keys: Keys) -> None:
    made = await keys.add()
    await keys.verifier.verify(made.shown)
    for number in range(2000):
        await keys.refuse(f"smk_{number:016x}_{'x' * 43}")
    loads = keys.store.loads
    await keys.verifier.verify(made.shown)
    assert keys.store.loads == loads


@pytest.mark.anyio
async def test_a_database_that_does_not_answer_is_no_wrong_key_and_not_kept(keys: Keys) -> None:
    made = await keys.add()
    keys.store.error = StoreUnavailableError("gone")
    with pytest.raises(StoreUnavailableError):
        await keys.verifier.verify(made.shown)
    keys.store.error = None
    await keys.verifier.verify(made.shown)
