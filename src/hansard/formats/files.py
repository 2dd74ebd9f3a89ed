"""The bytes of a file: bounded, and unpacked if they are gzip.

A format reads from a ``Source``, so that gzip, the bounds and the errors of a damaged file
are in this one place. Nothing here knows what the bytes mean.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Final, TypeVar, cast

from hansard.core.errors import Corrupt, LimitReached

DOCUMENT_BYTES_MAX: Final = 256 * 1024**2  # is held in memory, as objects some times larger
LINE_BYTES_MAX: Final = 128 * 1024**2  # one message, which a body of 64 MiB may have brought
UNPACKED_BYTES_MAX: Final = 8 * 1024**3  # of a gzip file; ends a bomb, beyond any real export
PIECE_BYTES: Final = 64 * 1024  # handed on at once: a write or a chunk of HTTP

T = TypeVar("T")

_GZIP_MAGIC = b"\x1f\x8b"


class Source:
    """A seekable binary file, plain or gzip; positions are those of the unpacked bytes."""

    def __init__(
        self,
        file: BinaryIO,
        *,
        document_bytes_max: int = DOCUMENT_BYTES_MAX,
        line_bytes_max: int = LINE_BYTES_MAX,
        unpacked_bytes_max: int = UNPACKED_BYTES_MAX,
    ) -> None:
        self._document_bytes_max = document_bytes_max
        self._line_bytes_max = line_bytes_max
        self._unpacked_bytes_max = unpacked_bytes_max
        file.seek(0)
        self._is_packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        file.seek(0)
        self._file = cast("BinaryIO", gzip.GzipFile(fileobj=file)) if self._is_packed else file

    def tell(self) -> int:
        """Position of the next byte."""
        return self._file.tell()

    def seek(self, position: int) -> None:
        """Go to a position; in a gzip file backwards means from the start again."""
        self._guard(lambda: self._file.seek(position))

    def read_line(self) -> bytes:
        """Read up to and including a newline; empty at the end of the file.

        Raises:
            Corrupt: ``damaged_gzip``.
            LimitReached: ``line_too_long`` or ``file_too_large``.
        """
        line = self._guard(lambda: self._file.readline(self._line_bytes_max + 1))
        if len(line) > self._line_bytes_max:
            raise LimitReached(f"a line over {self._line_bytes_max} bytes", code="line_too_long")
        if self._is_packed and self.tell() > self._unpacked_bytes_max:
            raise LimitReached(
                f"unpacks to over {self._unpacked_bytes_max} bytes", code="file_too_large"
            )
        return line

    def read_all(self) -> bytes:
        """Read the whole file.

        Raises:
            Corrupt: ``damaged_gzip``.
            LimitReached: ``document_too_large``.
        """
        self.seek(0)
        data = self._guard(lambda: self._file.read(self._document_bytes_max + 1))
        check_document_size(len(data), self._document_bytes_max)
        return data

    def read_start(self, size_bytes: int) -> bytes:
        """Read the first bytes."""
        self.seek(0)
        return self._guard(lambda: self._file.read(size_bytes))

    def _guard(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except (EOFError, gzip.BadGzipFile, zlib.error) as exc:
            raise Corrupt(f"damaged gzip file: {exc}", code="damaged_gzip") from exc


def check_document_size(size_bytes: int, document_bytes_max: int = DOCUMENT_BYTES_MAX) -> None:
    """Refuse a document that is too large to be read back in one piece.

    Raises:
        LimitReached: ``document_too_large``.
    """
    if size_bytes > document_bytes_max:
        raise LimitReached(
            f"a document over {document_bytes_max} bytes; native-stream has no such bound",
            code="document_too_large",
        )


def gather(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Join small chunks into pieces of at least ``PIECE_BYTES``, but for the last."""
    waiting: list[bytes] = []
    size = 0
    for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        if size >= PIECE_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)
