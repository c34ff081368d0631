"""A strict, streaming reader of multipart/form-data (RFC 7578)."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import urllib.parse
from collections.abc import Callable, Iterator
from typing import IO

BLOCK = 256 * 1024
HEADER_LIMIT = 16 * 1024
PART_LIMIT = 100


class MalformedMultipart(ValueError):
    """The body is no well-formed multipart/form-data."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part; `filename` is None for a plain field, `content` holds as many bytes as were to be kept."""

    name: str
    filename: str | None
    content_type: str
    size: int
    sha256: str
    content: bytes

    @property
    def text(self) -> str:
        try:
            return self.content.decode()
        except UnicodeDecodeError as error:
            raise MalformedMultipart(f"the part {self.name!r} is not UTF-8") from error


def boundary_of(content_type: str) -> bytes:
    """Return the boundary that a Content-Type header names."""
    kind, _, rest = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        raise MalformedMultipart(f"the content type is {kind.strip() or 'missing'!r}")
    match = re.search(r'boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', rest)
    if not match:
        raise MalformedMultipart("no boundary is named")
    return (match.group(1) or match.group(2)).encode()


def read_parts(stream: IO[bytes], content_type: str, *, keep: int) -> list[Part]:
    """Return all parts, keeping at most `keep` bytes of each in memory; raise MalformedMultipart."""
    reader = _Reader(stream, boundary_of(content_type))
    reader.skip_opening()
    parts: list[Part] = []
    while not reader.ended:
        if len(parts) == PART_LIMIT:
            raise MalformedMultipart(f"more than {PART_LIMIT} parts")
        parts.append(_read_part(reader, keep))
    return parts


def _read_part(reader: _Reader, keep: int) -> Part:
    headers = _headers(reader.take_head())
    name, filename = _disposition(headers.get("content-disposition", ""))
    digest, size, start = hashlib.sha256(), 0, bytearray()
    for block in reader.content():
        digest.update(block)
        size += len(block)
        start += block[: keep - len(start)]
    return Part(
        name=name,
        filename=filename,
        content_type=headers.get("content-type", ""),
        size=size,
        sha256=digest.hexdigest(),
        content=bytes(start),
    )


class _Reader:
    def __init__(self, stream: IO[bytes], boundary: bytes) -> None:
        self._stream = stream
        self._delimiter = b"\r\n--" + boundary
        self._buffer = b"\r\n"
        self.ended = False

    def _fill(self) -> None:
        block = self._stream.read(BLOCK)
        if not block:
            raise MalformedMultipart("the body ends before the closing boundary")
        self._buffer += block

    def _need(self, enough: Callable[[bytes], bool]) -> None:
        while not enough(self._buffer):
            self._fill()

    def skip_opening(self) -> None:
        self._need(lambda buffer: len(buffer) >= len(self._delimiter) + 2)
        if not self._buffer.startswith(self._delimiter):
            raise MalformedMultipart("the body does not start with its boundary")
        self._after_delimiter(len(self._delimiter))

    def _after_delimiter(self, position: int) -> None:
        self._need(lambda buffer: len(buffer) >= position + 2)
        mark = self._buffer[position : position + 2]
        self._buffer = self._buffer[position + 2 :]
        if mark == b"--":
            self.ended = True
            if (self._buffer + self._stream.read(BLOCK)).strip(b"\r\n"):
                raise MalformedMultipart("bytes follow the closing boundary")
        elif mark != b"\r\n":
            raise MalformedMultipart("a boundary is not followed by a line end")

    def take_head(self) -> bytes:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > HEADER_LIMIT:
                raise MalformedMultipart("the headers of a part are too long")
            self._fill()
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        return head

    def content(self) -> Iterator[bytes]:
        while (end := self._buffer.find(self._delimiter)) < 0:
            safe = len(self._buffer) - len(self._delimiter)
            if safe > 0:
                yield self._buffer[:safe]
                self._buffer = self._buffer[safe:]
            self._fill()
        yield self._buffer[:end]
        self._buffer = self._buffer[end:]
        self._after_delimiter(len(self._delimiter))


def _headers(head: bytes) -> dict[str, str]:
    try:
        lines = head.decode().split("\r\n")
    except UnicodeDecodeError as error:
        raise MalformedMultipart("the headers of a part are not UTF-8") from error
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip() or name.lower() in headers:
            raise MalformedMultipart(f"bad part header {line[:80]!r}")
        headers[name.lower()] = value.strip()
    return headers


_PARAMETER = re.compile(r';\s*([\w*]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))')


def _disposition(value: str) -> tuple[str, str | None]:
    if value.partition(";")[0].strip().lower() != "form-data":
        raise MalformedMultipart("a part without Content-Disposition: form-data")
    parameters = {match[1].lower(): match[2] if match[3] is None else match[3] for match in _matches(value)}
    if "name" not in parameters:
        raise MalformedMultipart("a part without a name")
    filename = parameters.get("filename")
    if "filename*" in parameters:
        filename = urllib.parse.unquote(parameters["filename*"].rpartition("'")[2])
    return _unquoted(parameters["name"]), None if filename is None else _unquoted(filename)


def _matches(value: str) -> list[re.Match[str]]:
    return list(_PARAMETER.finditer(value))


def _unquoted(text: str) -> str:
    """Undo what browsers (percent) and older clients (backslash) do to quotes and line ends in a name."""
    text = re.sub(r'\\(["\\])', r"\1", text)
    return text.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
