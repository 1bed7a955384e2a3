"""Links to files that are kept for a while: `/temp-files/{id}?expires=…&signature=…`.

The id is a secret of 256 bits by itself. The signature adds that an id which somebody reads out of the database opens
nothing, and that a made-up one costs no look into it. Where no keys are set, nothing is sealed in the database either:
whoever reads the id there has the file already, so that a link without a signature gives nothing away.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from typing import Final

PATH: Final = "/temp-files/"
PURPOSE: Final = "temp-files"
_ID_BYTES: Final = 32
_ID: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_SECONDS: Final = re.compile(r"[0-9]{1,12}")


def make_file_id() -> str:
    """Return an id that nobody can guess."""
    return secrets.token_urlsafe(_ID_BYTES)


def render_link(base_url: str, file_id: str, *, expires_s: int, keys: Sequence[bytes]) -> str:
    """Return the URL under which the file is given out.

    Args:
        base_url: where this service is reached.
        file_id: the file's.
        expires_s: when its time is over, unix seconds.
        keys: the first one signs; without any there is no signature.
    """
    url = f"{base_url.rstrip('/')}{PATH}{file_id}?expires={expires_s}"
    return f"{url}&signature={_sign(keys[0], file_id, expires_s)}" if keys else url


def is_link_valid(file_id: str, *, expires: str, signature: str, keys: Sequence[bytes], now_s: float) -> bool:
    """Tell whether a link with these parts was made here, and its time is not over.

    Args:
        file_id: as the URL has it.
        expires: the same.
        signature: the same, empty when there is none.
        keys: each of them may have signed it; without any no signature is asked for.
        now_s: unix seconds.
    """
    if not (_ID.fullmatch(file_id) and _SECONDS.fullmatch(expires) and now_s < int(expires)):
        return False
    given = signature.encode("utf-8", "replace")
    # All keys are tried, so that the time tells nothing of which one it was.
    matches = [hmac.compare_digest(_sign(key, file_id, int(expires)).encode(), given) for key in keys]
    return any(matches) if keys else True


def _sign(key: bytes, file_id: str, expires_s: int) -> str:
    return hmac.new(key, f"{file_id}.{expires_s}".encode(), hashlib.sha256).hexdigest()
