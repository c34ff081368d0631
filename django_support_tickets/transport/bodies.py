from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

CHUNK = 256 * 1024


class BrokenFile(OSError):
    """A stored file cannot be opened or read, or is not the one that was recorded."""


class Body(Protocol):
    """A request body that can be sent again from its first byte."""

    content_type: str

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...


class BytesBody:
    """A body held in memory; its text never shows in `repr()`."""

    def __init__(self, content: bytes, content_type: str) -> None:
        self._content = content
        self.content_type = content_type

    def __len__(self) -> int:
        return len(self._content)

    def __iter__(self) -> Iterator[bytes]:
        yield self._content


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

    A file that is gone is found before the first byte leaves; one that has changed, before its last byte does, so the
    vendor never gets a complete body with another file in it.
    """

    def __init__(self, fields: Mapping[str, str], parts: tuple[Part, ...] = ()) -> None:
        self._boundary = os.urandom(16).hex()
        self.content_type = f"multipart/form-data; boundary={self._boundary}"
        self._head = b"".join(self._field(name, value) for name, value in fields.items())
        self._parts = [(self._part_head(part), part) for part in parts]
        self._tail = f"--{self._boundary}--\r\n".encode()

    def __len__(self) -> int:
        files = sum(len(head) + part.size + 2 for head, part in self._parts)
        return len(self._head) + files + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        for _, part in self._parts:
            with contextlib.closing(_opened(part)):
                pass
        return self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        yield self._head
        for head, part in self._parts:
            yield head
            yield from checked_chunks(part)
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


def checked_chunks(part: Part) -> Iterator[bytes]:
    """Yield the bytes of a file; raise BrokenFile before its last ones if length or SHA-256 is not the stored one."""
    digest, size, pending = hashlib.sha256(), 0, b""
    with contextlib.closing(_opened(part)) as stream:
        while chunk := _read(stream):
            digest.update(chunk)
            size += len(chunk)
            if size > part.size:
                raise BrokenFile("a stored file is longer than it was recorded")
            if pending:
                yield pending
            pending = chunk
    if size != part.size or (part.sha256 and digest.hexdigest() != part.sha256):
        raise BrokenFile("a stored file does not have the length and SHA-256 that were recorded")
    yield pending


# A storage raises what it likes (botocore has its own classes); its ConnectionResetError would pass for the vendor's.


def _opened(part: Part) -> Any:
    try:
        return part.open()
    except Exception as error:
        raise BrokenFile("a stored file cannot be opened") from error


def _read(stream: Any) -> bytes:
    try:
        chunk: bytes = stream.read(CHUNK)
    except Exception as error:
        raise BrokenFile("a stored file cannot be read") from error
    return chunk
