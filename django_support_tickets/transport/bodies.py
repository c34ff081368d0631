from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

CHUNK = 256 * 1024


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
    """A multipart/form-data body that streams its files and checks their length and SHA-256 while it does."""

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
        ).encode()

    def _part_head(self, part: Part) -> bytes:
        # The way browsers escape (WHATWG form-data encoding): enough to keep a name from ending its header.
        filename = part.filename.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
        return (
            f'--{self._boundary}\r\nContent-Disposition: form-data; name="{part.name}"; '
            f'filename="{filename}"\r\nContent-Type: {part.content_type}\r\n\r\n'
        ).encode()


def checked_chunks(part: Part) -> Iterator[bytes]:
    """Yield the bytes of a file; raise OSError before its last chunk if length or SHA-256 is not the stored one."""
    digest, left = hashlib.sha256(), part.size
    with part.open() as stream:
        pending = b""
        while chunk := stream.read(CHUNK):
            if pending:
                yield pending
            pending, left = chunk, left - len(chunk)
            digest.update(chunk)
    if left or (part.sha256 and digest.hexdigest() != part.sha256):
        raise OSError("stored file does not have the length and SHA-256 that were recorded")
    yield pending
