"""Secrets at rest: AES-256-GCM under a ring of keys, each value bound to its connection and column.

A sealed text reads `sealed:v1:<key id>:<base64url of nonce, ciphertext and tag>`; sealed bytes carry the same in a
short binary header. A value moved to another connection or another column does not open. Without keys
everything stays clear; a clear value that happens to look sealed is marked as clear, so that every value comes
back as it went in.
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

_FAMILY: Final = "sealed:"
_SEALED: Final = "sealed:v1:"
_CLEAR: Final = "sealed:clear:"
_FAMILY_BYTES: Final = b"\x00sl"
_SEALED_BYTES: Final = b"\x00sl\x01"
_CLEAR_BYTES: Final = b"\x00sl\x00"
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


class Sealer:
    """Seals and opens values.

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

    def derive_keys(self, purpose: str) -> Sequence[bytes]:
        """Return what `KeyRing.derive` does; none where nothing is sealed."""
        return [] if self._ring is None else self._ring.derive(purpose)

    def seal(self, connection_id: ConnectionId, column: str, clear: str) -> str:
        """Return the text to store."""
        if self._active is None:
            return _CLEAR + clear if clear.startswith(_FAMILY) else clear
        sealed = _encrypt(self._active, connection_id, column, clear.encode("utf-8", "surrogatepass"))
        return self._sealed_text + base64.urlsafe_b64encode(sealed).decode()

    def open(self, connection_id: ConnectionId, column: str, stored: str) -> str:
        """Return the clear text of a stored one; what is not sealed comes back as it is.

        Raises:
            SealingError: its key is not on the ring, or it was changed, or sealed for another place.
        """
        if not stored.startswith(_FAMILY):
            return stored
        if stored.startswith(_CLEAR):
            return stored.removeprefix(_CLEAR)
        if not stored.startswith(_SEALED):
            return stored
        key_id, _, encoded = stored.removeprefix(_SEALED).partition(":")
        try:
            # Without validation base64 would skip foreign characters, and a changed text would still open.
            sealed = base64.b64decode(encoded, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise _refuse(key_id, column) from None
        return self._decrypt(connection_id, column, key_id, sealed).decode("utf-8", "surrogatepass")

    def seal_bytes(self, connection_id: ConnectionId, column: str, clear: bytes) -> bytes:
        """Return the bytes to store."""
        if self._active is None:
            return _CLEAR_BYTES + clear if clear.startswith(_FAMILY_BYTES) else clear
        return self._sealed_bytes + _encrypt(self._active, connection_id, column, clear)

    def seal_all_bytes(self, column: str, clears: Sequence[tuple[ConnectionId, bytes]]) -> list[bytes]:
        """Return what `seal_bytes` does for each; what they have in common is done once, the nonces drawn in one go."""
        if self._active is None:
            return [self.seal_bytes(connection_id, column, clear) for connection_id, clear in clears]
        encrypt, header = self._active.encrypt, self._sealed_bytes
        bound = {connection_id: _bind(connection_id, column) for connection_id in {each for each, _ in clears}}
        chance = secrets.token_bytes(NONCE_BYTES * len(clears))
        nonces = (chance[start : start + NONCE_BYTES] for start in range(0, len(chance), NONCE_BYTES))
        return [
            b"%b%b%b" % (header, nonce, encrypt(nonce, clear, bound[connection_id]))
            for nonce, (connection_id, clear) in zip(nonces, clears, strict=True)
        ]

    def open_bytes(self, connection_id: ConnectionId, column: str, stored: bytes) -> bytes:
        """Return the clear bytes of stored ones; what is not sealed comes back as it is.

        Raises:
            SealingError: the key is not on the ring, or the bytes were changed, or sealed for another place.
        """
        if not stored.startswith(_FAMILY_BYTES):
            return stored
        if stored.startswith(_CLEAR_BYTES):
            return stored[len(_CLEAR_BYTES) :]
        if not stored.startswith(_SEALED_BYTES):
            return stored
        start = len(_SEALED_BYTES) + 1
        end = start + (stored[start - 1] if len(stored) >= start else 0)
        key_id = stored[start:end].decode("ascii", "replace")
        return self._decrypt(connection_id, column, key_id, stored[end:])

    def _decrypt(self, connection_id: ConnectionId, column: str, key_id: str, sealed: bytes) -> bytes:
        """Return the clear bytes of nonce, ciphertext and tag."""
        cipher = self._ring.get_cipher(key_id) if self._ring is not None else None
        if cipher is None:
            raise SealingError(
                f"The value in {column} is sealed with {_render_key(key_id)}, which is not on the key ring: add that "
                "key to ENCRYPTION_KEYS, after the one that seals."
            )
        if len(sealed) < NONCE_BYTES + TAG_BYTES:
            raise _refuse(key_id, column)
        try:
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bind(connection_id, column))
        except InvalidTag:
            raise _refuse(key_id, column) from None


def looks_sealed_text(stored: str) -> bool:
    """Tell whether a stored text is sealed, by its beginning; it may still not open."""
    return stored.startswith(_FAMILY) and not stored.startswith(_CLEAR)


def looks_sealed_bytes(stored: bytes) -> bool:
    """Tell whether stored bytes are sealed, by their beginning; they may still not open."""
    return stored.startswith(_FAMILY_BYTES) and not stored.startswith(_CLEAR_BYTES)


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


def _encrypt(cipher: AESGCM, connection_id: ConnectionId, column: str, clear: bytes) -> bytes:
    """Return nonce, ciphertext and tag."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, clear, _bind(connection_id, column))


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
