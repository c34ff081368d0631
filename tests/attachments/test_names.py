from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_support_tickets.attachments.names import disposition, extension_of
from django_support_tickets.models.names import DEVICES, display_name, original_of


@pytest.mark.fault(69)
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("receipt.png", "receipt.png"),
        ("Übertrag März.pdf", "Übertrag März.pdf"),
        ("2026.11.21 at 10.12.33.png", "2026.11.21 at 10.12.33.png"),
        ("تقرير.pdf", "تقرير.pdf"),
        ("../../x.png", "x.png"),
        ("..\\..\\x.png", "x.png"),
        ("C:\\a\\b.png", "b.png"),
        ("a\0b.png", "a_b.png"),
        ("a\nb\r.png", "ab.png"),
        ("x\u202egnp.exe", "xgnp.exe"),
        ("evil．html", "evil.html"),
        ("x.html.pdf", "x_html.pdf"),
        ("x.tar.gz", "x_tar.gz"),
        ("x.svg;.png", "x_svg_.png"),
        ('a"b.png', "a_b.png"),
        (".hidden.png", "hidden.png"),
        (".png", "file.png"),
        ("x.png. . ", "x.png"),
        ("CON", "_CON"),
        ("nul.png", "_nul.png"),
        ("com¹.png", "_com1.png"),
        ("console.png", "console.png"),
        ("nul.2.3.png", "_nul.2.3.png"),
        ("con .2.png", "_con .2.png"),
        ("a  b.png", "a b.png"),
        ("Screenshot at 10.12.33\u202fAM.png", "Screenshot at 10.12.33 AM.png"),  # as macOS calls them
        ("a\xa0b\u3000c.png\u2003", "a b c.png"),
        ("XFAX.XAX", "XFAX.XAX"),
        ("x.abcdefgh ij", "x.abcdefgh"),
        ("", "file"),
        ("...", "file"),
        ("\ud800", "file"),
    ],
)
def test_a_name_is_made_safe_to_show(name: str, shown: str) -> None:
    assert display_name(name) == shown


def test_a_long_name_keeps_its_extension() -> None:
    assert display_name("x" * 300 + ".png") == "x" * 90 + ".png"
    assert display_name("x" * 89 + " y.png") == display_name("x" * 89 + ".5.png") == "x" * 89 + ".png"


def test_a_long_extension_never_becomes_a_known_one() -> None:
    assert extension_of(display_name("x.png" + "g" * 300)) == "pnggggggg"


@given(st.text(max_size=400))
def test_no_name_is_dangerous(name: str) -> None:
    shown = display_name(name)
    stem, dot, extension = shown.rpartition(".")
    assert 0 < len(shown) <= 101
    assert shown.isprintable()
    assert not set(shown) & set("/\\\0\"'<>:|?*;%&$`")
    assert not shown.startswith(".")
    assert not shown.endswith((".", " "))
    assert not DEVICES.fullmatch(shown.partition(".")[0])
    assert all(rest[:1].isdigit() for rest in stem.split(".")[1:])
    header = disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("receipt.png", "attachment; filename=\"receipt.png\"; filename*=UTF-8''receipt.png"),
        ("Café €.pdf", "attachment; filename=\"Cafe _.pdf\"; filename*=UTF-8''Caf%C3%A9%20%E2%82%AC.pdf"),
        ("a b/c.png", "attachment; filename=\"c.png\"; filename*=UTF-8''c.png"),
        ("XX~x.png", "attachment; filename=\"XX~x.png\"; filename*=UTF-8''XX~x.png"),
        ('a"b\r\n\\c";.png', "attachment; filename=\"c__.png\"; filename*=UTF-8''c__.png"),
    ],
)
def test_a_header_has_both_forms_of_the_name(name: str, header: str) -> None:
    assert disposition(name) == header


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("receipt.png", ""),
        ("../receipt.png", "../receipt.png"),
        ("a\0\ud800.png", "a\ufffd\ufffd.png"),
        ("a/" + "x" * 253, "a/" + "x" * 253),
        ("x" * 300, "x" * 254 + "…"),
    ],
)
def test_the_name_that_was_given_is_kept_where_another_one_is_shown(name: str, kept: str) -> None:
    assert original_of(name, display_name(name)) == kept
