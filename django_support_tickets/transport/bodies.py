from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

CHUNK = 256 * 1024
# Small, since the beginnings of all files of a body are held at once.
START = 4096


class BrokenFile(OSError):
    """A stored file cannot be opened or read, or is not the one that was recorded."""


class Body(Protocol):
    """A request body that can be sent again from its first byte; `close()` is called after each sending."""

    content_type: str

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None:
        """Release what a sending has opened."""


class BytesBody:
    """A body held in memory; its text never shows in `repr()`."""

    def __init__(self, content: bytes, content_type: str) -> None:
        self._content = content
        self.content_type = content_type

    def __len__(self) -> int:
        return len(self._content)

    def __iter__(self) -> Iterator[bytes]:
        yield self._content

    def close(self) -> None:
        """Do nothing."""


def json_body(value: Any) -> BytesBody:
    """Return `value` as a compact JSON body."""
    return BytesBody(json.dumps(value, separators=(",", ":")).encode(), "application/json")


@dataclass(frozen=True, slots=True)
class Part:
    """A file part of a multipart body; `open()` returns a fresh stream, `size` is in bytes."""

    name: str
    filename: str = field(repr=False)
    content_type: str
    size: int
    sha256: str
    open: Callable[[], Any] = field(repr=False)


class MultipartBody:
    """A multipart/form-data body that streams its files and checks their length and SHA-256 while it does.

    A file that is gone or cannot be read is found before the first byte leaves; one that has changed, before its last
    byte does, so the vendor never gets a complete body with another file in it.
    """

    def __init__(self, fields: Mapping[str, str], parts: tuple[Part, ...] = ()) -> None:
        self._boundary = os.urandom(16).hex()
        self.content_type = f"multipart/form-data; boundary={self._boundary}"
        self._head = b"".join(self._field(name, value) for name, value in fields.items())
        self._parts = [(self._part_head(part), part) for part in parts]
        self._tail = f"--{self._boundary}--\r\n".encode()
        self._pieces = self._read()

    def __len__(self) -> int:
        files = sum(len(head) + part.size + 2 for head, part in self._parts)
        return len(self._head) + files + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        self.close()
        self._pieces = self._read()
        return itertools.chain((next(self._pieces),), self._pieces)

    def close(self) -> None:
        """Close the files; a body that was never sent to its end still has them open."""
        self._pieces.close()

    def _read(self) -> Generator[bytes]:
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(contextlib.closing(StartedFile(part))) for _, part in self._parts]
            yield self._head
            for (head, _), file in zip(self._parts, files, strict=True):
                yield head
                yield from file.chunks()
                yield b"\r\n"
            yield self._tail

    def _field(self, name: str, value: str) -> bytes:
        return (
            f'--{self._boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n'
            f"Content-Type: text/plain; charset=utf-8\r\n\r\n{value}\r\n"
        ).encode(errors="replace")

    def _part_head(self, part: Part) -> bytes:
        # The way browsers escape (WHATWG form-data encoding): enough to keep a name from ending its header.
        filename = part.filename.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
        return (
            f'--{self._boundary}\r\nContent-Disposition: form-data; name="{part.name}"; '
            f'filename="{filename}"\r\nContent-Type: {part.content_type}\r\n\r\n'
        ).encode(errors="replace")


class StartedFile:
    """A stored file of which the beginning has been read: with S3, that is when all of it is fetched."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._stream = _opened(part)
        try:
            self._start = _read(self._stream, START)
        except BaseException:
            self.close()
            raise

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes; raise BrokenFile before the last ones if length or SHA-256 is not what was recorded."""
        part, digest, size, pending, chunk = self._part, hashlib.sha256(), 0, b"", self._start
        while chunk:
            digest.update(chunk)
            size += len(chunk)
            if size > part.size:
                raise BrokenFile("a stored file is longer than it was recorded")
            if pending:
                yield pending
            pending = chunk
            chunk = _read(self._stream, CHUNK)
        if size != part.size or (part.sha256 and digest.hexdigest() != part.sha256):
            raise BrokenFile("a stored file does not have the length and SHA-256 that were recorded")
        yield pending

    def close(self) -> None:
        """Close the stream; whatever its storage says to that, nothing was written."""
        with contextlib.suppress(Exception):
            self._stream.close()


def checked_chunks(part: Part) -> Generator[bytes]:
    """Yield the bytes of a file; raise BrokenFile before its last ones if length or SHA-256 is not the stored one."""
    with contextlib.closing(StartedFile(part)) as file:
        yield from file.chunks()


# A storage raises what it likes (botocore has its own classes); its ConnectionResetError would pass for the vendor's.


def _opened(part: Part) -> Any:
    try:
        return part.open()
    except Exception as error:
        raise BrokenFile("a stored file cannot be opened") from error


def _read(stream: Any, size: int) -> bytes:
    try:
        chunk: bytes = stream.read(size)
    except Exception as error:
        raise BrokenFile("a stored file cannot be read") from error
    return chunk
