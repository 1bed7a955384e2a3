"""Sealed values come back as they went in, and nowhere else."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.core.errors import SealingError, SettingsError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.sealing import (
    NONCE_BYTES,
    ConnectionSealer,
    DataKey,
    KeyRing,
    Sealer,
    find_data_key_id,
    find_ring_key_id,
    seal_all_bytes,
)

RING = KeyRing({"new": b"n" * 32, "old": b"o" * 32})
SEALER = Sealer(RING)
CLEAR = Sealer(None)
HERE = ConnectionId("conn_a")
ids = st.text(min_size=1, max_size=20).map(ConnectionId)
columns = st.text(min_size=1, max_size=20)
texts = st.text() | st.text().map("sealed:".__add__) | st.text().map("sealed:v1:new:".__add__)
DATA_KEY = DataKey("d1", b"d" * 32)


def of(sealer: Sealer, connection_id: ConnectionId = HERE, key: DataKey | None = DATA_KEY) -> ConnectionSealer:
    return sealer.for_connection(connection_id, key)


makers = st.sampled_from([(SEALER, DATA_KEY), (SEALER, None), (CLEAR, None)])
blobs = st.binary() | st.binary().map(b"\x00sl".__add__) | st.binary().map(b"\x00sl\x01\x03new".__add__)


@given(connection_id=ids, column=columns, clear=texts, sealer=st.sampled_from([SEALER, CLEAR]))
def test_every_text_comes_back_as_it_went_in(
    connection_id: ConnectionId, column: str, clear: str, sealer: Sealer
) -> None:
    assert sealer.open(connection_id, column, sealer.seal(connection_id, column, clear)) == clear


@given(connection_id=ids, column=columns, clear=blobs, sealer=st.sampled_from([SEALER, CLEAR]))
def test_all_bytes_come_back_as_they_went_in(
    connection_id: ConnectionId, column: str, clear: bytes, sealer: Sealer
) -> None:
    assert sealer.open_bytes(connection_id, column, sealer.seal_bytes(connection_id, column, clear)) == clear


@given(column=columns, clears=st.lists(st.tuples(ids, blobs)), maker=makers)
def test_bytes_that_are_sealed_together_come_back_one_by_one(
    column: str, clears: list[tuple[ConnectionId, bytes]], maker: tuple[Sealer, DataKey | None]
) -> None:
    sealers = [of(maker[0], place, maker[1]) for place, _ in clears]
    sealed = seal_all_bytes(column, [(sealer, clear) for sealer, (_, clear) in zip(sealers, clears, strict=True)])
    opened = [sealer.open_bytes(column, each) for sealer, each in zip(sealers, sealed, strict=True)]
    assert opened == [clear for _, clear in clears]
    assert maker[0] is CLEAR or len(set(sealed)) == len(sealed)


@given(column=columns, text=texts, data=blobs)
def test_what_a_data_key_seals_comes_back_and_what_the_ring_had_sealed_still_opens(
    column: str, text: str, data: bytes
) -> None:
    sealer = of(SEALER)
    assert sealer.open(column, sealer.seal(column, text)) == text
    assert sealer.open_bytes(column, sealer.seal_bytes(column, data)) == data
    assert sealer.open(column, SEALER.seal(HERE, column, text)) == text
    assert sealer.open_bytes(column, SEALER.seal_bytes(HERE, column, data)) == data


def test_without_its_data_key_a_value_does_not_open() -> None:
    text, data = of(SEALER).seal("answer", "canary"), of(SEALER).seal_bytes("payload", b"canary")
    for stranger in (of(SEALER, key=None), of(SEALER, key=DataKey("d2", b"e" * 32)), of(CLEAR, key=None)):
        with pytest.raises(SealingError) as caught:
            stranger.open("answer", text)
        assert caught.value.is_destroyed
        with pytest.raises(SealingError):
            stranger.open_bytes("payload", data)
    for opening in (lambda: SEALER.open(HERE, "answer", text), lambda: SEALER.open_bytes(HERE, "payload", data)):
        with pytest.raises(SealingError, match="data key"):
            opening()


def test_a_value_of_a_data_key_opens_only_in_its_own_place() -> None:
    text, data = of(SEALER).seal("answer", "canary"), of(SEALER).seal_bytes("payload", b"canary")
    with pytest.raises(SealingError) as caught:
        of(SEALER).open("question", text)
    assert not caught.value.is_destroyed
    with pytest.raises(SealingError):
        of(SEALER, ConnectionId("conn_b")).open("answer", text)
    with pytest.raises(SealingError):
        of(SEALER).open_bytes("payload", data[:-1] + bytes([data[-1] ^ 1]))


def test_a_data_key_is_stored_sealed_and_opens_under_its_own_id_alone() -> None:
    key, stored = SEALER.make_data_key(HERE)
    value = of(SEALER, key=key).seal("answer", "value")
    assert of(SEALER, key=SEALER.open_data_key(HERE, key.key_id, stored)).open("answer", value) == "value"
    assert find_ring_key_id(stored) == "new"
    assert repr(key) == f"DataKey({key.key_id})"
    with pytest.raises(SealingError):
        SEALER.open_data_key(HERE, "other", stored)
    with pytest.raises(SealingError):
        SEALER.open_data_key(ConnectionId("conn_b"), key.key_id, stored)


def test_a_data_key_moves_under_another_key_of_the_ring_and_stays_the_same() -> None:
    key, stored = Sealer(KeyRing({"old": b"o" * 32})).make_data_key(HERE)
    moved = SEALER.reseal_data_key(HERE, key.key_id, stored)
    assert find_ring_key_id(moved) == "new"
    value = of(SEALER, key=key).seal("answer", "value")
    assert of(SEALER, key=SEALER.open_data_key(HERE, key.key_id, moved)).open("answer", value) == "value"


def test_nothing_is_sealed_with_another_key_in_the_place_of_one_that_cannot_be_used() -> None:
    broken = SEALER.for_connection(HERE, None, problem=SealingError("its key is not on the ring"))
    with pytest.raises(SealingError, match="not on the ring"):
        broken.seal("answer", "value")
    with pytest.raises(SealingError, match="not on the ring"):
        broken.open("answer", of(SEALER).seal("answer", "value"))
    assert broken.open("answer", SEALER.seal(HERE, "answer", "value")) == "value"


@pytest.mark.parametrize(
    "stored", ["sealed:v2:x", "sealed:v2:", "sealed:v2:d1:", "sealed:v2:d1:*", "sealed:v2:d1:QUJD"]
)
def test_garbage_that_looks_sealed_by_a_data_key_is_refused(stored: str) -> None:
    with pytest.raises(SealingError):
        of(SEALER).open("answer", stored)


def test_which_key_sealed_a_value_is_found_without_opening_it() -> None:
    stored = (of(SEALER).seal("c", "v"), of(SEALER).seal_bytes("c", b"v"), SEALER.seal(HERE, "c", "v"))
    assert [find_data_key_id(each) for each in stored] == ["d1", "d1", None]
    assert [find_ring_key_id(each) for each in (*stored, SEALER.seal_bytes(HERE, "c", b"v"), "clear", b"clear")] == [
        None,
        None,
        "new",
        "new",
        None,
        None,
    ]
    assert find_data_key_id(None) is None
    assert find_data_key_id(b"\x00sl\x02") == ""


@given(place=st.tuples(ids, columns), other=st.tuples(ids, columns))
def test_a_value_opens_only_in_its_own_place(place: tuple[ConnectionId, str], other: tuple[ConnectionId, str]) -> None:
    sealed = SEALER.seal(*place, "value")
    sealed_bytes = SEALER.seal_bytes(*place, b"value")
    if place == other:
        assert SEALER.open(*other, sealed) == "value"
        return
    with pytest.raises(SealingError):
        SEALER.open(*other, sealed)
    with pytest.raises(SealingError):
        SEALER.open_bytes(*other, sealed_bytes)


def test_names_that_run_together_are_different_places() -> None:
    sealed = SEALER.seal(ConnectionId("ab"), "c", "value")
    with pytest.raises(SealingError):
        SEALER.open(ConnectionId("a"), "bc", sealed)


@given(data=st.data(), clear=st.binary(max_size=40))
def test_any_changed_byte_after_the_header_is_noticed(data: st.DataObject, clear: bytes) -> None:
    sealed = bytearray(SEALER.seal_bytes(HERE, "payload", clear))
    at = data.draw(st.integers(min_value=4, max_value=len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(min_value=1, max_value=255))
    with pytest.raises(SealingError):
        SEALER.open_bytes(HERE, "payload", bytes(sealed))


@given(data=st.data())
def test_any_changed_character_of_a_sealed_text_is_noticed(data: st.DataObject) -> None:
    sealed = SEALER.seal(HERE, "bot_token", "xoxb-canary")
    at = data.draw(st.integers(min_value=len("sealed:v1:new:"), max_value=len(sealed) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda char: char != sealed[at]))
    changed = sealed[:at] + other + sealed[at + 1 :]
    with pytest.raises(SealingError):
        SEALER.open(HERE, "bot_token", changed)


def test_a_sealed_text_is_written_in_one_way() -> None:
    texts = (SEALER.seal(HERE, "bot_token", "xoxb-canary" * 9) for _ in range(100))
    sealed = next(text for text in texts if "-" in text and "_" in text)
    for char, same in (("_", "/"), ("-", "+")):
        with pytest.raises(SealingError):
            SEALER.open(HERE, "bot_token", sealed.replace(char, same))


@given(length=st.integers(min_value=0, max_value=40))
def test_cut_values_are_refused_or_not_sealed_at_all(length: int) -> None:
    sealed = SEALER.seal_bytes(HERE, "payload", b"canary")[:length]
    if len(sealed) < 4:
        assert SEALER.open_bytes(HERE, "payload", sealed) == sealed
        return
    with pytest.raises(SealingError):
        SEALER.open_bytes(HERE, "payload", sealed)


def test_no_two_of_a_batch_have_the_same_nonce() -> None:
    header = len(b"\x00sl\x01\x03new")
    sealed = seal_all_bytes("payload", [(of(SEALER, key=None), b"value")] * 100)
    assert len({each[header : header + NONCE_BYTES] for each in sealed}) == 100


def test_the_same_value_never_looks_the_same_twice() -> None:
    assert SEALER.seal(HERE, "bot_token", "x") != SEALER.seal(HERE, "bot_token", "x")


def test_an_earlier_key_still_opens_and_the_first_one_seals() -> None:
    old = Sealer(KeyRing({"old": b"o" * 32})).seal(HERE, "bot_token", "value")
    assert SEALER.open(HERE, "bot_token", old) == "value"
    assert SEALER.seal(HERE, "bot_token", "value").startswith("sealed:v1:new:")


@pytest.mark.parametrize("sealer", [CLEAR, Sealer(KeyRing({"other": b"x" * 32}))])
def test_a_key_that_is_not_on_the_ring_is_named_and_nothing_else(sealer: Sealer) -> None:
    sealed = SEALER.seal(HERE, "bot_token", "canary")
    with pytest.raises(SealingError) as caught:
        sealer.open(HERE, "bot_token", sealed)
    said = str(caught.value)
    assert "key new" in said
    assert "bot_token" in said
    assert "canary" not in said
    assert sealed.rpartition(":")[2] not in said
    assert HERE not in said


def test_an_unreadable_key_id_is_not_repeated() -> None:
    with pytest.raises(SealingError, match="unreadable key id"):
        SEALER.open(HERE, "bot_token", "sealed:v1:a b:xoxb-canary")


@pytest.mark.parametrize("stored", ["xoxb-clear", "", "sealed", "sealed:v9:who:knows"])
def test_what_is_not_sealed_opens_as_it_is(stored: str) -> None:
    assert SEALER.open(HERE, "bot_token", stored) == stored


def test_without_keys_values_stay_clear() -> None:
    assert CLEAR.seal(HERE, "bot_token", "xoxb-1") == "xoxb-1"
    assert CLEAR.seal_bytes(HERE, "payload", b"{}") == b"{}"
    assert not CLEAR.seals
    assert SEALER.seals


@given(
    keys=st.dictionaries(
        st.from_regex(r"[A-Za-z0-9_.-]{1,32}", fullmatch=True), st.binary(min_size=32, max_size=32), min_size=1
    )
)
def test_a_ring_is_written_and_read_back(keys: dict[str, bytes]) -> None:
    ring = KeyRing.parse(KeyRing(keys).reveal())
    assert list(ring.key_ids) == list(keys)
    assert ring.active_key_id == next(iter(keys))
    assert Sealer(ring).open(HERE, "c", Sealer(KeyRing(keys)).seal(HERE, "c", "v")) == "v"


def test_url_safe_and_unpadded_keys_are_taken() -> None:
    text = base64.urlsafe_b64encode(b"\xff" * 32).decode().rstrip("=")
    assert KeyRing.parse(f" k1:{text} , k2:{text}\n").key_ids == ("k1", "k2")


def test_all_mistakes_in_a_ring_are_told_without_the_keys() -> None:
    good = base64.b64encode(b"k" * 32).decode()
    with pytest.raises(SettingsError) as caught:
        KeyRing.parse(f"a:{good},a:{good},b:c2hvcnQ=,canary,d:***,:{good}")
    assert len(caught.value.problems) == 5
    assert good not in str(caught.value)
    assert "canary" not in str(caught.value)
    assert "the id a is there twice" in caught.value.problems[0]


def test_a_ring_does_not_print_its_keys() -> None:
    ring = KeyRing.generate("k1")
    assert repr(ring) == "KeyRing(k1)"
    assert ring.reveal().startswith("k1:")
    with pytest.raises(ValueError, match="at least one"):
        KeyRing({})
