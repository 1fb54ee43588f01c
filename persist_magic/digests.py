"""The two hashes: checksums, by which a damaged file is told, and digests, by which an equal value is recognised.

Owns which algorithms these are. Neither is cryptographic: they meet accidents, not forgers, against whom the trust in files
and directories stands (`store`). Knows nothing of what it hashes.
"""

from __future__ import annotations

import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xxhash import xxh3_128

HEAD = 1 << 16
"""So many bytes are checked by CRC-32, which the standard library has; bytes."""


class Checksum:
    """CRC-32 of the first 64 KiB, and XXH3 of the rest if there is more.

    XXH3 runs at the speed of memory, CRC-32 at a fifth of it; but most payloads are small, and the worker then needs
    nothing but the standard library to start.
    """

    def __init__(self) -> None:
        self._size = 0
        self._head = 0
        self._rest: xxh3_128 | None = None

    def update(self, data: memoryview) -> None:
        if self._size < HEAD:
            first = data[: HEAD - self._size]
            self._head = zlib.crc32(first, self._head)
            self._size += len(first)
            data = data[len(first) :]
        if len(data):
            if self._rest is None:
                self._rest = new_digest()
            self._rest.update(data)

    def value(self) -> str:
        """Return the checksum, hexadecimal."""
        rest = self._rest.hexdigest() if self._rest is not None else ""
        return f"{self._head:08x}{rest}"


def checksum(data: memoryview) -> str:
    """Return the checksum of bytes that are at hand as a whole."""
    whole = Checksum()
    whole.update(data)
    return whole.value()


def new_digest() -> xxh3_128:
    """Return a hash object, XXH3 of 128 bits: equal in every process and on every machine for equal bytes."""
    from xxhash import xxh3_128  # a compiled module of its own: only where a digest is wanted

    return xxh3_128()


def text_digest(*parts: str) -> str:
    """Return the digest of some texts, 32 hexadecimal characters."""
    digest = new_digest()
    digest.update("\0".join(parts).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
