"""A delivery's bytes in order: as they come from the source, or out of gzip (RFC 1952)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from isal.igzip_lib import DECOMP_GZIP, IgzipDecompressor

from refsys.ingestion.archives.model import PIECE, InflateError, NotStreamable, ratio_limit
from refsys.ingestion.archives.writing import Intake

#: Bytes asked of the source at least.
_AHEAD: Final = 2**17
#: Bytes given to gzip at a time: an archive of very many gzip members would have more of them read again for each.
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


class Feed:
    """A source as it is, from its start.

    `read(length)` of the source returns at most `length` bytes, none only at the end. `size_bytes` is the source's
    length, None = not known. Where the source has a `seek`, it is given too, and the length is sure.
    """

    def __init__(
        self,
        read: Callable[[int], bytes],
        size_bytes: int | None = None,
        seek: Callable[[int], object] | None = None,
    ) -> None:
        self.size_bytes = size_bytes
        self.position = 0
        self._source = read
        self._seek = seek
        self._ahead = b""
        self._at = 0
        self._ended = False

    @property
    def is_seekable(self) -> bool:
        return self._seek is not None

    def rewind(self) -> None:
        """Begin anew (seekable sources only)."""
        self._go_to(0)

    def peek(self, length: int) -> bytes:
        """The next `length` bytes, which stay; fewer only at the end."""
        have = len(self._ahead) - self._at
        if have < length:
            parts = [self._ahead[self._at :]]
            while have < length and (more := self._more(max(length - have, _AHEAD))):
                parts.append(more)
                have += len(more)
            self._ahead, self._at = b"".join(parts), 0
        return self._ahead[self._at : self._at + length]

    def some(self, length: int) -> bytes:
        """The next bytes, at most `length`; none only at the end."""
        if self._at == len(self._ahead):
            self._ahead, self._at = b"", 0
            if length >= _AHEAD:
                data = self._more(length)
                self.position += len(data)
                return data
            self._ahead = self._more(_AHEAD)
        data = self._ahead[self._at : self._at + length]
        self._at += len(data)
        self.position += len(data)
        return data

    def read(self, length: int) -> bytes:
        data = self.some(length)
        if len(data) == length:
            return data
        parts, have = [data], len(data)
        while have < length and (more := self.some(length - have)):
            parts.append(more)
            have += len(more)
        return b"".join(parts)

    def give_back(self, data: bytes) -> None:
        """Undo the end of what was handed over last."""
        self.position -= len(data)
        if self._at >= len(data):
            self._at -= len(data)
        else:
            self._ahead, self._at = data + self._ahead[self._at :], 0

    def skip(self, length: int) -> bool:
        if self.is_seekable:
            if self.position + length > (self.size_bytes or 0):
                return False
            if length > len(self._ahead) - self._at:
                self._go_to(self.position + length)
                return True
        while length:
            passed = len(self.some(min(length, PIECE)))
            if not passed:
                return False
            length -= passed
        return True

    def _go_to(self, position: int) -> None:
        assert self._seek is not None
        self._seek(position)
        self.position, self._ended = position, False
        self._ahead, self._at = b"", 0

    def _more(self, length: int) -> bytes:
        data = b"" if self._ended else self._source(length)
        self._ended = not data
        return data


def expect_ratio(feed: Feed, unpacked_bytes: int, intake: Intake) -> None:
    """Refuse what unpacks beyond the ratio. Raises NotStreamable where the archive's length is needed to tell."""
    if feed.size_bytes is not None:
        intake.expect_ratio(feed.size_bytes, unpacked_bytes)
    elif unpacked_bytes > ratio_limit(feed.position, intake.limits.max_ratio):
        raise NotStreamable("its beginning unpacks beyond the ratio, and its length is not known")


class GzipStream:
    """What gzip data inflate to; several gzip members in a row and zeros behind them belong to the format."""

    def __init__(self, feed: Feed, intake: Intake) -> None:
        self._feed = feed
        self._intake = intake
        self._delivery = intake.delivery
        self._inflated = 0
        self._inflater: IgzipDecompressor | None = None
        self._buffer = b""
        self._position = 0

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
            self._intake.check()
            if self._inflater is None and not self._begin():
                self._intake.expect_ratio(self._feed.position, self._inflated)
                return False
            data = self._inflate()
            if data:
                self._buffer, self._position = data, 0
                self._inflated += len(data)
                expect_ratio(self._feed, self._inflated, self._intake)
                return True

    def _begin(self) -> bool:
        """Start with the next gzip member; False where there is none."""
        if self._feed.peek(len(_MAGIC)) == _MAGIC:
            self._inflater = IgzipDecompressor(flag=DECOMP_GZIP)
            return True
        while padding := self._feed.some(_SLICE):
            if padding.strip(b"\0"):
                raise self._delivery.invalid("has other bytes behind its end, or is damaged there")
        return False

    def _inflate(self) -> bytes:
        inflater = self._inflater
        assert inflater is not None
        given = b""
        if inflater.needs_input:
            given = self._feed.some(_SLICE)
            if not given:
                raise self._delivery.invalid("is cut short: its gzip data end too early")
        try:
            data: bytes = inflater.decompress(given, PIECE)
        except InflateError as error:
            raise self._delivery.invalid(f"is damaged: its gzip data cannot be inflated ({error})") from None
        if inflater.eof:
            self._feed.give_back(inflater.unused_data)
            self._inflater = None
        return data
