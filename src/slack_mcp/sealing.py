"""Secrets at rest: AES-256-GCM, each value bound to its connection and column.

A sealed text reads `sealed:v1:<key id>:<base64url of nonce, ciphertext and tag>`, the key being one of the ring, or
`sealed:v2:<key id>:…`, the key being the data key of the value's connection, which itself is kept sealed by the ring:
without it nothing of the connection opens any more. Sealed bytes carry the same in a short binary header. A value moved
to another connection or another column does not open. Without keys everything stays clear; a clear value that happens
to look sealed is marked as clear, so that every value comes back as it went in.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from slack_mcp.core.errors import SealingError, SettingsError
from slack_mcp.core.ids import ConnectionId

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12  # NIST SP 800-38D, 5.2.1.1: other lengths weaken GCM
TAG_BYTES: Final = 16

DATA_KEY_ID_CHARS: Final = 16

_FAMILY: Final = "sealed:"
_SEALED: Final = "sealed:v1:"
_BY_DATA_KEY: Final = "sealed:v2:"
_CLEAR: Final = "sealed:clear:"
_FAMILY_BYTES: Final = b"\x00sl"
_SEALED_BYTES: Final = b"\x00sl\x01"
_BY_DATA_KEY_BYTES: Final = b"\x00sl\x02"
_CLEAR_BYTES: Final = b"\x00sl\x00"
_DATA_KEY: Final = "data_key"
_DOMAIN: Final = "slack-mcp sealing v1"
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,32}")


class KeyRing:
    """One key that seals, and any number of earlier ones that still open. Its `repr` shows key ids only."""

    __slots__ = ("_ciphers", "_keys", "active_key_id")

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            message = "a key ring has at least one key"
            raise ValueError(message)
        self._keys = dict(keys)
        self._ciphers = {key_id: AESGCM(key) for key_id, key in self._keys.items()}
        self.active_key_id = next(iter(self._keys))

    @classmethod
    def parse(cls, text: str, *, name: str = "ENCRYPTION_KEYS") -> "KeyRing":
        """Return the ring written as `id:base64,id:base64`; the first key seals.

        Args:
            text: ids of letters, digits, `_`, `.` and `-`; keys of 32 bytes in base64.
            name: where the text came from, for the sentences.

        Raises:
            SettingsError: everything wrong with the text; no sentence holds a key.
        """
        keys: dict[str, bytes] = {}
        problems: list[str] = []
        for number, entry in enumerate((part.strip() for part in re.split(r"[,\n]", text.strip(" ,\n"))), 1):
            problem = _add_key(keys, entry)
            if problem:
                problems.append(f"{name}, entry {number}: {problem}")
        if problems:
            raise SettingsError(problems)
        return cls(keys)

    @classmethod
    def generate(cls, key_id: str) -> "KeyRing":
        """Return a ring with one new random key."""
        return cls({key_id: secrets.token_bytes(KEY_BYTES)})

    @property
    def key_ids(self) -> Sequence[str]:
        """The ids, the sealing key's first."""
        return tuple(self._keys)

    def reveal(self) -> str:
        """Return the ring as `parse` takes it, keys in the clear: for the key file only."""
        return ",".join(f"{key_id}:{base64.b64encode(key).decode()}" for key_id, key in self._keys.items())

    def get_cipher(self, key_id: str) -> AESGCM | None:
        """Return a key ready for use, or None when it is not on the ring."""
        return self._ciphers.get(key_id)

    def derive(self, purpose: str) -> Sequence[bytes]:
        """Return one key of 32 bytes for another purpose out of each key, that of the sealing key first.

        Args:
            purpose: keys for one purpose say nothing of those for another, nor of the ring's.
        """
        info = f"{_DOMAIN} {purpose}".encode()
        return [
            HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key) for key in self._keys.values()
        ]

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys)})"


class DataKey:
    """The key of one connection's values. Its `repr` shows its id only."""

    __slots__ = ("cipher", "key_id", "sealed_bytes", "sealed_text")

    def __init__(self, key_id: str, key: bytes) -> None:
        self.key_id = key_id
        self.cipher = AESGCM(key)
        self.sealed_text = f"{_BY_DATA_KEY}{key_id}:"
        self.sealed_bytes = _BY_DATA_KEY_BYTES + bytes([len(key_id)]) + key_id.encode()

    def __repr__(self) -> str:
        return f"DataKey({self.key_id})"


class Sealer:
    """Seals and opens with the ring alone; `for_connection` adds a connection's data key.

    Args:
        ring: the keys; None leaves new values clear.
    """

    __slots__ = ("_active", "_ring", "_sealed_bytes", "_sealed_text")

    def __init__(self, ring: KeyRing | None) -> None:
        self._ring = ring
        self._active: AESGCM | None = None
        self._sealed_text = ""
        self._sealed_bytes = b""
        if ring is not None:
            key_id = ring.active_key_id
            self._active = ring.get_cipher(key_id)
            self._sealed_text = f"{_SEALED}{key_id}:"
            self._sealed_bytes = _SEALED_BYTES + bytes([len(key_id)]) + key_id.encode()

    @property
    def seals(self) -> bool:
        """Whether new values are sealed."""
        return self._active is not None

    @property
    def key_ids(self) -> Sequence[str]:
        """The ids of the ring's keys, the sealing key's first; none without a ring."""
        return () if self._ring is None else self._ring.key_ids

    def derive_keys(self, purpose: str) -> Sequence[bytes]:
        """Return what `KeyRing.derive` does; none where nothing is sealed."""
        return [] if self._ring is None else self._ring.derive(purpose)

    def for_connection(
        self, connection_id: ConnectionId, data_key: DataKey | None, *, problem: SealingError | None = None
    ) -> "ConnectionSealer":
        """Return what seals and opens the values of one connection; without a data key it is the ring that seals.

        Args:
            connection_id: whose values.
            data_key: the connection's key, if it has one.
            problem: why the data key that it has cannot be used.
        """
        return ConnectionSealer(self, connection_id, data_key, problem)

    def make_data_key(self, connection_id: ConnectionId) -> tuple[DataKey, str]:
        """Return a new random data key, and the same sealed by the ring as it is stored."""
        key_id, key = secrets.token_hex(DATA_KEY_ID_CHARS // 2), secrets.token_bytes(KEY_BYTES)
        # Bound to its id as well: a key that is stored under another id does not open.
        sealed = self.seal(connection_id, f"{_DATA_KEY}:{key_id}", base64.b64encode(key).decode())
        return DataKey(key_id, key), sealed

    def open_data_key(self, connection_id: ConnectionId, key_id: str, stored: str) -> DataKey:
        """Return a data key as it was stored; raises SealingError."""
        clear = self.open(connection_id, f"{_DATA_KEY}:{key_id}", stored)
        return DataKey(key_id, base64.b64decode(clear))

    def reseal_data_key(self, connection_id: ConnectionId, key_id: str, stored: str) -> str:
        """Return a stored data key sealed by the key that seals now; raises SealingError."""
        column = f"{_DATA_KEY}:{key_id}"
        return self.seal(connection_id, column, self.open(connection_id, column, stored))

    def seal(self, connection_id: ConnectionId, column: str, clear: str) -> str:
        """Return the text to store."""
        if self._active is None:
            return _CLEAR + clear if clear.startswith(_FAMILY) else clear
        return _seal_text(self._active, self._sealed_text, _bind(connection_id, column), clear)

    def open(self, connection_id: ConnectionId, column: str, stored: str) -> str:
        """Return the clear text of a stored one; what is not sealed comes back as it is.

        Raises:
            SealingError: its key is not on the ring, or it was changed, or sealed for another place.
        """
        if not stored.startswith(_FAMILY):
            return stored
        if stored.startswith(_CLEAR):
            return stored.removeprefix(_CLEAR)
        if stored.startswith(_BY_DATA_KEY):
            raise _miss_data_key(column)
        if not stored.startswith(_SEALED):
            return stored
        key_id, sealed = _read_text(stored, _SEALED, column)
        return self._decrypt(connection_id, column, key_id, sealed).decode("utf-8", "surrogatepass")

    def seal_bytes(self, connection_id: ConnectionId, column: str, clear: bytes) -> bytes:
        """Return the bytes to store."""
        if self._active is None:
            return _CLEAR_BYTES + clear if clear.startswith(_FAMILY_BYTES) else clear
        return self._sealed_bytes + _encrypt(self._active, _bind(connection_id, column), clear)

    def open_bytes(self, connection_id: ConnectionId, column: str, stored: bytes) -> bytes:
        """Return the clear bytes of stored ones; what is not sealed comes back as it is.

        Raises:
            SealingError: the key is not on the ring, or the bytes were changed, or sealed for another place.
        """
        if not stored.startswith(_FAMILY_BYTES):
            return stored
        if stored.startswith(_CLEAR_BYTES):
            return stored[len(_CLEAR_BYTES) :]
        if stored.startswith(_BY_DATA_KEY_BYTES):
            raise _miss_data_key(column)
        if not stored.startswith(_SEALED_BYTES):
            return stored
        key_id, sealed = _read_bytes(stored)
        return self._decrypt(connection_id, column, key_id, sealed)

    def get_active(self) -> tuple[AESGCM, bytes] | None:
        """Return the cipher that seals with the header of what it seals, None without a ring."""
        return None if self._active is None else (self._active, self._sealed_bytes)

    def _decrypt(self, connection_id: ConnectionId, column: str, key_id: str, sealed: bytes) -> bytes:
        """Return the clear bytes of nonce, ciphertext and tag."""
        cipher = self._ring.get_cipher(key_id) if self._ring is not None else None
        if cipher is None:
            raise SealingError(
                f"The value in {column} is sealed with {_render_key(key_id)}, which is not on the key ring: add that "
                "key to ENCRYPTION_KEYS, after the one that seals."
            )
        return _decrypt(cipher, _bind(connection_id, column), sealed, key_id=key_id, column=column)


class ConnectionSealer:
    """Seals and opens the values of one connection; made by `Sealer.for_connection`.

    What is sealed under the ring opens whether there is a data key or not. A data key that cannot be used raises
    SealingError where it would be: nothing is sealed with another key in its place.
    """

    __slots__ = ("_bound", "_connection_id", "_problem", "_sealer", "data_key")

    def __init__(
        self, sealer: Sealer, connection_id: ConnectionId, data_key: DataKey | None, problem: SealingError | None
    ) -> None:
        self._sealer = sealer
        self._connection_id = connection_id
        self._problem = problem
        self.data_key = data_key
        self._bound: dict[str, bytes] = {}

    def seal(self, column: str, clear: str) -> str:
        """Return the text to store."""
        key = self._get_key()
        if key is None:
            return self._sealer.seal(self._connection_id, column, clear)
        return _seal_text(key.cipher, key.sealed_text, self._bind(column), clear)

    def open(self, column: str, stored: str) -> str:
        """Return the clear text of a stored one.

        Raises:
            SealingError: its key was destroyed or is not at hand, or it was changed, or sealed for another place.
        """
        if not stored.startswith(_BY_DATA_KEY):
            return self._sealer.open(self._connection_id, column, stored)
        key_id, sealed = _read_text(stored, _BY_DATA_KEY, column)
        return self._decrypt(column, key_id, sealed).decode("utf-8", "surrogatepass")

    def seal_bytes(self, column: str, clear: bytes) -> bytes:
        """Return the bytes to store."""
        key = self._get_key()
        if key is None:
            return self._sealer.seal_bytes(self._connection_id, column, clear)
        return key.sealed_bytes + _encrypt(key.cipher, self._bind(column), clear)

    def seal_bytes_with(self, nonce: bytes, column: str, clear: bytes) -> bytes:
        """Return what `seal_bytes` does, with a nonce that was drawn before and is used for nothing else."""
        key = self._get_key()
        if key is not None:
            return b"%b%b%b" % (key.sealed_bytes, nonce, key.cipher.encrypt(nonce, clear, self._bind(column)))
        active = self._sealer.get_active()
        if active is None:
            return self._sealer.seal_bytes(self._connection_id, column, clear)
        return b"%b%b%b" % (active[1], nonce, active[0].encrypt(nonce, clear, self._bind(column)))

    def open_bytes(self, column: str, stored: bytes) -> bytes:
        """Return the clear bytes of stored ones; raises what `open` does."""
        if not stored.startswith(_BY_DATA_KEY_BYTES):
            return self._sealer.open_bytes(self._connection_id, column, stored)
        key_id, sealed = _read_bytes(stored)
        return self._decrypt(column, key_id, sealed)

    def _decrypt(self, column: str, key_id: str, sealed: bytes) -> bytes:
        key = self._get_key()
        if key is None or key.key_id != key_id:
            raise SealingError(
                f"The value in {column} is sealed with a data key that its connection does not have any more: it was "
                "removed or disconnected in Slack since, or the value was moved here.",
                is_destroyed=True,
            )
        return _decrypt(key.cipher, self._bind(column), sealed, key_id=key_id, column=column)

    def _get_key(self) -> DataKey | None:
        if self._problem is not None:
            raise SealingError(str(self._problem))
        return self.data_key

    def _bind(self, column: str) -> bytes:
        bound = self._bound.get(column)
        if bound is None:
            bound = self._bound[column] = _bind(self._connection_id, column)
        return bound


def seal_all_bytes(column: str, clears: Sequence[tuple[ConnectionSealer, bytes]]) -> list[bytes]:
    """Return what `seal_bytes` does for each; the nonces are drawn in one go."""
    chance = secrets.token_bytes(NONCE_BYTES * len(clears))
    nonces = (chance[start : start + NONCE_BYTES] for start in range(0, len(chance), NONCE_BYTES))
    return [sealer.seal_bytes_with(nonce, column, clear) for nonce, (sealer, clear) in zip(nonces, clears, strict=True)]


def find_data_key_id(stored: str | bytes | None) -> str | None:
    """Return the id of the data key that sealed a value, None when none did."""
    if isinstance(stored, str):
        return stored.split(":", 3)[2] if stored.startswith(_BY_DATA_KEY) else None
    return _read_bytes(stored)[0] if stored is not None and stored.startswith(_BY_DATA_KEY_BYTES) else None


def looks_sealed_text(stored: str) -> bool:
    """Tell whether a stored text is sealed, by its beginning; it may still not open."""
    return stored.startswith(_FAMILY) and not stored.startswith(_CLEAR)


def looks_sealed_bytes(stored: bytes) -> bool:
    """Tell whether stored bytes are sealed, by their beginning; they may still not open."""
    return stored.startswith(_FAMILY_BYTES) and not stored.startswith(_CLEAR_BYTES)


def find_ring_key_id(stored: str | bytes) -> str | None:
    """Return the id of the ring's key that sealed a value, None when none did. Opens nothing."""
    if isinstance(stored, str):
        if not stored.startswith(_SEALED):
            return None
        key_id = stored[len(_SEALED) :].partition(":")[0]
    else:
        start = len(_SEALED_BYTES) + 1
        if not stored.startswith(_SEALED_BYTES) or len(stored) < start:
            return None
        key_id = stored[start : start + stored[start - 1]].decode("ascii", "replace")
    return key_id if _KEY_ID.fullmatch(key_id) else None


def _add_key(keys: dict[str, bytes], entry: str) -> str | None:
    """Add one `id:base64` to the keys; return what is wrong with it, or None."""
    key_id, colon, encoded = entry.partition(":")
    if not colon or not _KEY_ID.fullmatch(key_id):
        return "write id:key, with an id of at most 32 letters, digits, '_', '.' or '-'."
    if key_id in keys:
        return f"the id {key_id} is there twice."
    try:
        padded = encoded.strip().rstrip("=") + "=" * (-len(encoded.strip().rstrip("=")) % 4)
        key = base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        return f"the key {key_id} must be {KEY_BYTES} random bytes in base64; `openssl rand -base64 32` makes one."
    keys[key_id] = key
    return None


def _seal_text(cipher: AESGCM, header: str, bound: bytes, clear: str) -> str:
    """Return the text to store."""
    sealed = _encrypt(cipher, bound, clear.encode("utf-8", "surrogatepass"))
    return header + base64.urlsafe_b64encode(sealed).decode()


def _read_text(stored: str, header: str, column: str) -> tuple[str, bytes]:
    """Return (key id, nonce with ciphertext and tag) of a sealed text."""
    key_id, _, encoded = stored.removeprefix(header).partition(":")
    if "+" in encoded or "/" in encoded:  # base64's usual alphabet is read beside the one for URLs
        raise _refuse(key_id, column)
    try:
        # Without validation base64 would skip foreign characters, and a changed text would still open.
        return key_id, base64.b64decode(encoded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _refuse(key_id, column) from None


def _read_bytes(stored: bytes) -> tuple[str, bytes]:
    """Return (key id, nonce with ciphertext and tag) of sealed bytes."""
    start = len(_SEALED_BYTES) + 1
    end = start + (stored[start - 1] if len(stored) >= start else 0)
    return stored[start:end].decode("ascii", "replace"), stored[end:]


def _encrypt(cipher: AESGCM, bound: bytes, clear: bytes) -> bytes:
    """Return nonce, ciphertext and tag."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, clear, bound)


def _decrypt(cipher: AESGCM, bound: bytes, sealed: bytes, *, key_id: str, column: str) -> bytes:
    """Return the clear bytes; raises SealingError."""
    if len(sealed) < NONCE_BYTES + TAG_BYTES:
        raise _refuse(key_id, column)
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except InvalidTag:
        raise _refuse(key_id, column) from None


def _bind(connection_id: ConnectionId, column: str) -> bytes:
    """Return the associated data. Each part carries its length: no two pairs of names give the same bytes."""
    parts = (part.encode("utf-8", "surrogatepass") for part in (_DOMAIN, connection_id, column))
    return b"".join(len(part).to_bytes(4) + part for part in parts)


def _refuse(key_id: str, column: str) -> SealingError:
    """Return the error for a value that its key does not open."""
    return SealingError(
        f"The value in {column}, sealed with {_render_key(key_id)}, does not open: it was changed, or moved here."
    )


def _render_key(key_id: str) -> str:
    """Return how a key is named in a message; what cannot be an id is not repeated."""
    return f"key {key_id}" if _KEY_ID.fullmatch(key_id) else "an unreadable key id"


def _miss_data_key(column: str) -> SealingError:
    """Return the error for a value of a connection's data key where none was looked for."""
    return SealingError(f"The value in {column} is sealed with the data key of its connection, which is not at hand.")
