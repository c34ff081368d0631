from __future__ import annotations

import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_support_tickets.testing.sandbox import multipart as module
from django_support_tickets.testing.sandbox.multipart import MalformedMultipart, Part, boundary_of, read_parts

TYPE = "multipart/form-data; boundary=b"
TEXT = b'Content-Disposition: form-data; name="a"'


def read(body: bytes, content_type: str = TYPE, keep: int = 1000) -> list[Part]:
    return read_parts(io.BytesIO(body), content_type, keep=keep)


def one(head: bytes, content: bytes = b"") -> Part:
    (part,) = read(b"--b\r\n" + head + b"\r\n\r\n" + content + b"\r\n--b--\r\n")
    return part


class TestReading:
    def test_fields_and_files(self) -> None:
        head = b'content-disposition: form-data; name="f"; filename="x.png"\r\ncontent-type: image/png'
        part = one(head, b"\r\n--\r\n-b")
        assert (part.name, part.filename, part.content_type, part.size) == ("f", "x.png", "image/png", 8)
        assert part.content == b"\r\n--\r\n-b"
        assert part.sha256 == hashlib.sha256(part.content).hexdigest()
        assert one(TEXT, "é".encode()).text == "é"
        assert one(TEXT).filename is None

    @pytest.mark.parametrize(
        ("disposition", "filename"),
        [
            ('filename=""', ""),
            ("filename=x.png", "x.png"),
            ('filename="a;b=c.png"', "a;b=c.png"),
            ('filename="a%22b.png"', 'a"b.png'),
            ('filename="a\\"b\\\\.png"', 'a"b\\.png'),
            ('filename="naïve.png"', "naïve.png"),
            ("filename*=UTF-8''na%C3%AFve.png", "naïve.png"),
            ("filename=\"x.png\"; filename*=UTF-8''y.png", "y.png"),
        ],
    )
    def test_file_names(self, disposition: str, filename: str) -> None:
        assert one(f'Content-Disposition: form-data; name="f"; {disposition}'.encode()).filename == filename

    def test_only_the_start_is_kept(self) -> None:
        (part,) = read(b"--b\r\n" + TEXT + b"\r\n\r\n" + b"x" * 5000 + b"\r\n--b--", keep=10)
        assert (part.content, part.size) == (b"x" * 10, 5000)

    def test_boundaries(self) -> None:
        assert boundary_of('Multipart/Form-Data; charset=utf-8; boundary="a b"') == b"a b"
        assert boundary_of("multipart/form-data;boundary=--x") == b"--x"

    @given(st.lists(st.binary(max_size=60), max_size=4), st.integers(min_value=1, max_value=40))
    def test_any_content_in_any_block_size(self, contents: list[bytes], block: int) -> None:
        contents = [content for content in contents if b"\r\n--b" not in b"\r\n" + content]
        parts = [b"--b\r\n" + TEXT + b"\r\n\r\n" + content + b"\r\n" for content in contents]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "BLOCK", block)
            assert [part.content for part in read(b"".join([*parts, b"--b--\r\n"]))] == contents


class TestRefusals:
    @pytest.mark.parametrize(
        "content_type",
        [
            "",
            "application/json",
            "multipart/form-data",
            'multipart/form-data; boundary=""',
            "multipart/mixed; boundary=b",
        ],
    )
    def test_content_types(self, content_type: str) -> None:
        with pytest.raises(MalformedMultipart):
            read(b"--b--\r\n", content_type)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"--b",
            b"preamble\r\n--b--\r\n",
            b"--c--\r\n\r\n",
            b"--bx\r\n" + TEXT + b"\r\n\r\n\r\n--b--\r\n",
            b"--b\r\n" + TEXT + b"\r\n\r\nx\r\n--b\r\n",
            b"--b\r\n" + TEXT + b"\r\n\r\nx\r\n--bx\r\n--b--\r\n",
            b"--b\r\n" + TEXT + b"\r\n\r\nx",
            b"--b--\r\nmore",
            b"--b\r\nContent-Type: x\r\n\r\nx\r\n--b--\r\n",
            b"--b\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--b--\r\n",
            b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
            b"--b\r\nno colon\r\n\r\nx\r\n--b--\r\n",
            b"--b\r\n" + TEXT + b"\r\n" + TEXT + b"\r\n\r\nx\r\n--b--\r\n",
            b"--b\r\n\xff: x\r\n\r\nx\r\n--b--\r\n",
            b"--b\r\nX: " + b"x" * 300_000,
            b"--b\r\n" + (TEXT + b"\r\n\r\n\r\n--b\r\n") * 101,
        ],
    )
    def test_malformed_bodies(self, body: bytes) -> None:
        with pytest.raises(MalformedMultipart):
            read(body)

    def test_text_must_be_utf_8(self) -> None:
        with pytest.raises(MalformedMultipart):
            _ = one(TEXT, b"\xff").text
