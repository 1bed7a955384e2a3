"""The seal around a stream: AES-256-GCM in frames, so that neither side ever holds the whole.

Each frame's nonce is its number and whether it is the last, as in the construction STREAM
(https://eprint.iacr.org/2015/189): a frame that is changed, left out, repeated, moved or cut off does not open. The
key is this backup's own, and each frame is bound to the backup's head: a frame of another backup does not open either.
Without a key the same numbers go into a checksum, which finds accidents, and nobody who means it.
"""

import hashlib
import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from slack_mcp.core.errors import BackupDamagedError

FRAME_BYTES: Final = 1024 * 1024
LENGTH: Final = struct.Struct(">I")
CHECK_BYTES: Final = 16
_COUNTER_BYTES: Final = 11


class FrameSeal:
    """Seals the frames of one backup, or opens them, each in its turn.

    Args:
        key: of this backup alone; None only checks.
        head: the bytes of the backup's head.
    """

    def __init__(self, key: bytes | None, head: bytes) -> None:
        self._cipher = None if key is None else AESGCM(key)
        self._head = hashlib.sha256(head).digest()
        self._count = 0

    def seal(self, clear: bytes, *, is_last: bool) -> bytes:
        """Return the next frame's bytes."""
        nonce = self._next_nonce(is_last=is_last)
        if self._cipher is None:
            return self._check(nonce, clear) + clear
        return self._cipher.encrypt(nonce, clear, self._head)

    def open(self, frame: bytes, *, is_last: bool) -> bytes:
        """Return what the next frame holds; raises BackupDamagedError."""
        number = self._count + 1
        nonce = self._next_nonce(is_last=is_last)
        if self._cipher is None:
            clear = frame[CHECK_BYTES:]
            if frame[:CHECK_BYTES] == self._check(nonce, clear):
                return clear
        else:
            try:
                return self._cipher.decrypt(nonce, frame, self._head)
            except InvalidTag:
                pass
        raise BackupDamagedError(f"Piece {number} was changed, moved or cut off, or is of another backup.")

    def _next_nonce(self, *, is_last: bool) -> bytes:
        nonce = self._count.to_bytes(_COUNTER_BYTES) + bytes([is_last])
        self._count += 1
        return nonce

    def _check(self, nonce: bytes, clear: bytes) -> bytes:
        return hashlib.sha256(self._head + nonce + clear).digest()[:CHECK_BYTES]
