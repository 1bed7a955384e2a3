from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.protocol.temp_links import is_link_valid, make_file_id, render_link
from slack_mcp.sealing import KeyRing, Sealer

NOW_S = 1_800_000_000
KEYS = [b"a" * 32, b"b" * 32]


def split(url: str) -> tuple[str, str, str]:
    """Return the id, the end and the signature."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    return parts.path.rpartition("/")[2], query["expires"][0], query.get("signature", [""])[0]


def is_valid(
    file_id: str, expires: str, signature: str, *, keys: list[bytes] | None = None, now_s: float = NOW_S
) -> bool:
    keys = KEYS if keys is None else keys
    return is_link_valid(file_id, expires=expires, signature=signature, keys=keys, now_s=now_s)


def make_link(keys: list[bytes]) -> tuple[str, str, str]:
    return split(render_link("https://bot.example/", "a-Z_0" * 8 + "abc", expires_s=NOW_S + 60, keys=keys))


def test_a_link_is_good_until_its_end() -> None:
    url = render_link("https://bot.example/base/", "a" * 43, expires_s=NOW_S + 60, keys=KEYS)
    assert url.startswith(f"https://bot.example/base/temp-files/{'a' * 43}?expires={NOW_S + 60}&signature=")
    assert is_valid(*split(url))
    assert is_valid(*split(url), now_s=NOW_S + 59)
    assert not is_valid(*split(url), now_s=NOW_S + 60)


def test_a_link_of_an_earlier_key_is_good_and_one_of_a_forgotten_key_is_not() -> None:
    assert is_valid(*make_link([KEYS[1]]))
    assert not is_valid(*make_link([b"c" * 32]))


def test_a_link_without_a_signature_is_good_only_where_nothing_signs() -> None:
    bare = make_link([])
    assert bare[2] == ""
    assert is_valid(*bare, keys=[])
    assert not is_valid(*bare)
    assert not is_valid(*bare, keys=[], now_s=NOW_S + 60)


def test_ids_are_long_and_never_the_same() -> None:
    ids = {make_file_id() for _ in range(100)}
    assert len(ids) == 100
    assert {len(each) for each in ids} == {43}


@given(st.data())
def test_any_changed_character_makes_a_link_bad(data: st.DataObject) -> None:
    parts = list(make_link(KEYS))
    part = data.draw(st.integers(0, 2))
    at = data.draw(st.integers(0, len(parts[part]) - 1))
    other = data.draw(st.characters(exclude_characters=parts[part][at]))
    parts[part] = parts[part][:at] + other + parts[part][at + 1 :]
    assert not is_valid(parts[0], parts[1], parts[2])


@given(st.text(), st.text(), st.text())
def test_garbage_is_bad_and_never_an_exception(file_id: str, expires: str, signature: str) -> None:
    assert not is_valid(file_id, expires, signature)


@pytest.mark.parametrize("expires", ["", "-1", "1e30", "9" * 13, "\u0661\u0668"])
def test_an_end_that_is_no_plain_number_is_bad(expires: str) -> None:
    assert not is_valid("a" * 43, expires, "", keys=[])


def test_derived_keys_differ_by_key_and_purpose_and_are_not_those_of_the_ring() -> None:
    ring = KeyRing({"k1": b"1" * 32, "k2": b"2" * 32})
    links, other = Sealer(ring).derive_keys("temp-files"), ring.derive("other")
    assert links == KeyRing({"k1": b"1" * 32, "k2": b"2" * 32}).derive("temp-files")
    assert len({*links, *other, b"1" * 32, b"2" * 32}) == 6
    assert {len(each) for each in links} == {32}
    assert Sealer(None).derive_keys("temp-files") == []
