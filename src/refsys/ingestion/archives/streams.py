"""A tar's bytes in order: as they lie in the source, or out of gzip (RFC 1952)."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, Final, Protocol

from isal.igzip_lib import DECOMP_GZIP, IgzipDecompressor

from refsys.ingestion.archives.model import PIECE, Delivery, InflateError, ratio_limit, read_fully

_INPUT: Final = 2**18
#: Bytes inflated at a time: an archive of very many gzip members would have more of them copied again for each.
_SLICE: Final = 2**15
_MAGIC: Final = b"\x1f\x8b"


class Stream(Protocol):
    """Bytes from the start to the end, once."""

    def read(self, length: int) -> bytes:
        """`length` bytes (1 MiB at most), fewer only at the end."""
        ...

    def skip(self, length: int) -> bool:
        """Leave bytes out; False where the stream has not so many."""
        ...


class PlainStream:
    """A source as it is."""

    def __init__(self, source: BinaryIO, size_bytes: int) -> None:
        self._source = source
        self._left = size_bytes
        source.seek(0)

    def read(self, length: int) -> bytes:
        data = read_fully(self._source, length)
        self._left -= len(data)
        return data

    def skip(self, length: int) -> bool:
        if length > self._left:
            return False
        self._left -= length
        self._source.seek(length, 1)
        return True


class GzipStream:
    """What gzip data inflate to; several gzip members in a row and zeros behind them belong to the format."""

    def __init__(
        self, source: BinaryIO, size_bytes: int, delivery: Delivery, max_ratio: float, check: Callable[[], None]
    ) -> None:
        self._source = source
        self._delivery = delivery
        self._limit = ratio_limit(size_bytes, max_ratio)
        self._ratio = max_ratio
        self._check = check
        self._inflated = 0
        self._inflater: IgzipDecompressor | None = None
        self._input = b""
        self._input_at = 0
        self._buffer = b""
        self._position = 0
        source.seek(0)

    def read(self, length: int) -> bytes:
        data = self._buffered(length)
        while len(data) < length and self._fill():
            data += self._buffered(length - len(data))
        return data

    def skip(self, length: int) -> bool:
        while length > 0:
            passed = min(length, len(self._buffer) - self._position)
            self._position += passed
            length -= passed
            if length and not self._fill():
                return False
        return True

    def _buffered(self, length: int) -> bytes:
        data = self._buffer[self._position : self._position + length]
        self._position += len(data)
        return data

    def _fill(self) -> bool:
        """Inflate the next piece; False at the end."""
        while True:
            self._check()
            if self._inflater is None and not self._begin():
                return False
            data = self._inflate()
            if data:
                self._buffer, self._position = data, 0
                self._inflated += len(data)
                if self._inflated > self._limit:
                    raise self._delivery.excessive(f"unpacks to more than {self._ratio:g} times its size", "max_ratio")
                return True

    def _begin(self) -> bool:
        """Start with the next gzip member; False where there is none."""
        while given := self._next_input():
            if given.startswith(_MAGIC):
                self._inflater = IgzipDecompressor(flag=DECOMP_GZIP)
                return True
            if given.strip(b"\0"):
                raise self._delivery.invalid("has other bytes behind its end, or is damaged there")
            self._input_at += len(given)
        return False

    def _inflate(self) -> bytes:
        inflater = self._inflater
        assert inflater is not None
        given = b""
        if inflater.needs_input:
            given = self._next_input()
            self._input_at += len(given)
            if not given:
                raise self._delivery.invalid("is cut short: its gzip data end too early")
        try:
            data: bytes = inflater.decompress(given, PIECE)
        except InflateError as error:
            raise self._delivery.invalid(f"is damaged: its gzip data cannot be inflated ({error})") from None
        if inflater.eof:
            self._input_at -= len(inflater.unused_data)
            self._inflater = None
        return data

    def _next_input(self) -> bytes:
        """Bytes of the source at the present position, which stays; none at its end. At least two, if there are two."""
        if len(self._input) - self._input_at < len(_MAGIC):
            self._input = self._input[self._input_at :] + self._source.read(_INPUT)
            self._input_at = 0
        return self._input[self._input_at : self._input_at + _SLICE]
