from __future__ import annotations

import pytest

from django_support_tickets.attachments.signatures import CONTENT_TYPES, SERVED, content_type_of, is_what_it_says
from tests.attachments.samples import HONEST, HTML, PDF, PNG, ZIP


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_file_is_what_it_says(name: str) -> None:
    assert is_what_it_says(name, HONEST[name])


@pytest.mark.parametrize("atom", [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"])
def test_a_quicktime_film_may_begin_with_any_of_its_atoms(atom: bytes) -> None:
    assert is_what_it_says("x.mov", bytes(4) + atom + bytes(8))
    assert not is_what_it_says("x.mov", bytes(4) + atom.upper() + bytes(8))


@pytest.mark.parametrize("name", HONEST)
def test_no_known_name_is_taken_for_a_program(name: str) -> None:
    assert not is_what_it_says(name, b"MZ\x90\x00\x03\x00\x00\x00" + bytes(100))


@pytest.mark.parametrize("name", [name for name in HONEST if not content_type_of(name).startswith(("text", "appl"))])
def test_a_picture_or_film_is_no_page(name: str) -> None:
    assert not is_what_it_says(name, HTML)


def test_a_kind_without_signature_is_opaque() -> None:
    assert content_type_of("plan.docx") == "application/octet-stream"
    assert is_what_it_says("plan.docx", ZIP)


@pytest.mark.fault(70)
def test_the_type_comes_from_our_table_and_none_of_it_runs_in_a_browser() -> None:
    assert not {kind for kind in SERVED if "html" in kind or "svg" in kind or "xml" in kind or "script" in kind}
    assert content_type_of("x.html") == content_type_of("x.svg") == "application/octet-stream"
    assert {content_type_of(f"x.{extension}") for extension in CONTENT_TYPES} <= SERVED


@pytest.mark.parametrize("megabytes", [100, 127])
def test_a_film_of_100_mb_in_one_piece_is_one(megabytes: int) -> None:
    assert is_what_it_says("x.mov", (megabytes * 2**20).to_bytes(4, "big") + b"mdat" + bytes(20))


def test_pictures_and_documents_are_not_text() -> None:
    assert not is_what_it_says("x.txt", PNG)
    assert not is_what_it_says("x.txt", PDF)


@pytest.mark.fault(70)
@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("x.webp", b"RIFF\x24\x00\x00\x00WAVEfmt "),
        ("x.webp", b"FORM\x24\x00\x00\x00WEBPVP8 "),
        ("x.avi", b"RIFF\x24\x00\x00\x00WEBPVP8 "),
        ("x.webm", b"\x1aE\xdf\xa3\x9fB\x82\x88matroska"),
        ("x.webm", b"<html>webm"),
        ("x.mp4", b"ftypisom"),
        ("x.mp4", b"#!/\nftypisom"),
        ("x.mov", b"<svgmoov"),
        ("x.mov", b"moov"),
        ("x.png", b"PNG"),
        ("x.pdf", b" %PDF-1.7"),
        ("x.txt", b"a\x00b"),
        ("x.txt", b"a\x1ab"),
    ],
)
def test_half_a_signature_is_none(name: str, head: bytes) -> None:
    assert not is_what_it_says(name, head)
