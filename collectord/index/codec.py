"""How artifacts are kept: zlib, which every Python of the coming decades can read."""

from __future__ import annotations

import zlib
from hashlib import sha256

from collectord.errors import IndexDamaged

CODEC = "zlib"
_LEVEL = 3


def pack(data: bytes) -> bytes:
    """Compressed bytes of one artifact."""
    return zlib.compress(data, _LEVEL)


def unpack(digest: str, codec: str, data: bytes) -> bytes:
    """The artifact's bytes, checked against the digest that it is filed under."""
    try:
        raw = zlib.decompress(data) if codec == CODEC else b""
    except zlib.error as error:
        raise IndexDamaged(f"artifact {digest}: {error}; run `collectord db check`") from error
    if sha256(raw).hexdigest() != digest:
        raise IndexDamaged(f"artifact {digest}: its bytes have another digest; run `collectord db check`")
    return raw
