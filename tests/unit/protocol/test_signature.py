import hashlib
import hmac

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slack_mcp.core.errors import (
    DeliveryError,
    SignatureMismatchError,
    SignatureMissingError,
    TimestampSkewError,
)
from slack_mcp.protocol.signature import SigningKey, verify_signature

NOW_S = 1_531_420_618.5
TIMESTAMP = b"1531420618"
KEY = SigningKey(b"8f742231b10e8888abcd99yyyzzz85a5")
# The worked example of https://docs.slack.dev/authentication/verifying-requests-from-slack.
BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
SIGNATURE = b"v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"


def verify(
    *,
    keys: tuple[SigningKey, ...] = (KEY,),
    timestamp: bytes | None = TIMESTAMP,
    signature: bytes | None = SIGNATURE,
    body: bytes = BODY,
    now_s: float = NOW_S,
) -> None:
    verify_signature(keys, timestamp=timestamp, signature=signature, body=body, now_s=now_s)


def test_slacks_own_example_verifies() -> None:
    verify()
    assert KEY.render_signature(TIMESTAMP, BODY) == SIGNATURE


def test_either_of_two_secrets_verifies() -> None:
    other = SigningKey(b"the new one")
    verify(keys=(other, KEY))
    verify(keys=(KEY, other))


def test_no_secret_verifies_nothing() -> None:
    with pytest.raises(SignatureMismatchError):
        verify(keys=())


def test_another_secret_is_a_mismatch() -> None:
    with pytest.raises(SignatureMismatchError):
        verify(keys=(SigningKey(b"another"), SigningKey(b"")))


@pytest.mark.parametrize("missing", [None, b""])
def test_absent_headers_are_missing(missing: bytes | None) -> None:
    with pytest.raises(SignatureMissingError):
        verify(timestamp=missing)
    with pytest.raises(SignatureMissingError):
        verify(signature=missing)


@pytest.mark.parametrize("away_s", [-301.0, 301.0, 1e9])
def test_a_stale_or_future_timestamp_is_refused(away_s: float) -> None:
    with pytest.raises(TimestampSkewError) as caught:
        verify(now_s=int(TIMESTAMP) + away_s)
    assert caught.value.skew_s == away_s


@pytest.mark.parametrize("away_s", [-300.0, 300.0])
def test_the_window_includes_its_ends(away_s: float) -> None:
    verify(now_s=int(TIMESTAMP) + away_s)


@pytest.mark.parametrize(
    "timestamp",
    [
        b"-1531420618",
        b"+1531420618",
        b"1531420618.0",
        b" 1531420618",
        b"1_531_420_618",
        b"1531420618\x00",
        b"nan",
        b"0x5b47",
        "١٥٣١٤٢٠٦١٨".encode(),
        b"\xff\xfe",
        b"9" * 13,
        b"9" * 100_000,
    ],
)
def test_garbage_in_the_timestamp_is_a_mismatch(timestamp: bytes) -> None:
    with pytest.raises(SignatureMismatchError):
        verify(timestamp=timestamp)


@pytest.mark.parametrize(
    "signature",
    [
        b"v0=",
        b"v1=" + SIGNATURE[3:],
        SIGNATURE[3:],
        SIGNATURE.upper(),
        SIGNATURE + b"0",
        SIGNATURE[:-1],
        b"\xff" * 67,
        b"v0=" + "é".encode() * 32,
        b"v0=" + b"0" * 1_000_000,
    ],
)
def test_garbage_in_the_signature_is_a_mismatch(signature: bytes) -> None:
    with pytest.raises(SignatureMismatchError):
        verify(signature=signature)


@given(
    secret=st.binary(max_size=100),
    body=st.binary(max_size=300),
    part=st.sampled_from(["body", "timestamp", "signature"]),
    index=st.integers(min_value=0),
    flip=st.integers(min_value=1, max_value=255),
)
def test_any_changed_byte_fails(secret: bytes, body: bytes, part: str, index: int, flip: int) -> None:
    key = SigningKey(secret)
    parts = {"body": body, "timestamp": TIMESTAMP, "signature": key.render_signature(TIMESTAMP, body)}
    verify(keys=(key,), timestamp=TIMESTAMP, signature=parts["signature"], body=body)
    changed = bytearray(parts[part] or b"\x00")
    changed[index % len(changed)] ^= flip
    if part == "body" and not body:
        changed = bytearray(b"\x00")
    parts[part] = bytes(changed)
    with pytest.raises(DeliveryError):
        verify(keys=(key,), timestamp=parts["timestamp"], signature=parts["signature"], body=parts["body"])


@given(timestamp=st.none() | st.binary(max_size=40), signature=st.none() | st.binary(max_size=80))
@example(timestamp=TIMESTAMP, signature=b"v0=\xf0")
def test_no_header_leads_to_another_exception(timestamp: bytes | None, signature: bytes | None) -> None:
    with pytest.raises(DeliveryError):
        verify(timestamp=timestamp, signature=signature)


@given(secret=st.binary(max_size=200), body=st.binary(max_size=200))
def test_the_prepared_key_signs_as_a_plain_hmac_does(secret: bytes, body: bytes) -> None:
    plain = hmac.new(secret, b"v0:1:" + body, hashlib.sha256).hexdigest()
    assert SigningKey(secret).render_signature(b"1", body) == b"v0=" + plain.encode()
