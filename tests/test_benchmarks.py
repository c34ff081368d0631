"""All benchmarks report in one form, and the page in the documentation is written from it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES, main
from benchmarks.page import write
from benchmarks.report import HEAD, Line, default_rows, not_run, note, parse, report

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
LINE = Line("push.8_workers", "121/s", "150/s", "76%", "≥ 75%", "yes")


class TestReport:
    def test_a_printed_figure_can_be_read_again(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert report("push.8_workers", ours="121/s", floor="150/s", ratio="76%", gate="≥ 75%", held=True)
        assert parse(capsys.readouterr().out) == LINE

    def test_a_gate_that_is_not_held_is_seen(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert not report("startup.setup", ours="250 ms", gate="≤ 30 ms", held=False)
        assert report("push.16_workers", ours="200/s")
        first, second = map(parse, capsys.readouterr().out.splitlines())
        assert (first and first.held, second and second.held) == ("NO", "–")

    def test_long_texts_keep_their_columns(self) -> None:
        long = Line("a" * 60, "1,000,000 tickets/s", "a peer with words", "100.00 ×", "≤ 1,000,000 ms", "NO")
        assert parse(str(long)) == long

    def test_notes_and_heads_are_no_figures(self, capsys: pytest.CaptureFixture[str]) -> None:
        note("medians of 7 runs  –")
        assert parse(capsys.readouterr().out) is None
        assert parse(str(HEAD)) is None

    def test_what_could_not_run_is_said_and_fails_in_ci(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("CI", raising=False)
        assert not_run("api", "no server") == 0
        monkeypatch.setenv("CI", "true")
        assert not_run("api", "no server") == 1
        assert "api: NOT RUN: no server" in capsys.readouterr().out

    def test_the_full_profile_is_ten_times_the_short_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("BENCH_PROFILE", raising=False)
        short = default_rows()
        monkeypatch.setenv("BENCH_PROFILE", "full")
        assert (short, default_rows()) == (100_000, 1_000_000)


class TestPage:
    def test_results_stand_between_the_markers(self, tmp_path: Path) -> None:
        page = tmp_path / "page.md"
        page.write_text("before\n<!-- results -->\nold\n<!-- end -->\nafter\n")
        for _ in range(2):
            write(page, [LINE], profile="short")
        text = page.read_text()
        assert "| push.8_workers | 121/s | 150/s | 76% | ≥ 75% | yes |" in text
        assert "short profile" in text
        assert re.match(r"before\n<!-- results -->\nMeasured on .*<!-- end -->\nafter\n$", text, re.DOTALL)
        assert "old" not in text

    def test_a_page_without_markers_is_refused(self, tmp_path: Path) -> None:
        page = tmp_path / "page.md"
        page.write_text("nothing\n")
        with pytest.raises(ValueError, match="must hold"):
            write(page, [LINE], profile="short")


def test_every_benchmark_reports_in_this_form() -> None:
    for name in NAMES:
        texts = [path.read_text() for path in BENCHMARKS.glob(f"{name}*/*.py")]
        texts += [path.read_text() for path in BENCHMARKS.glob(f"{name}.py")]
        assert not texts or any("from benchmarks.report import" in text for text in texts), name


def test_an_unknown_benchmark_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "pusch"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "'pusch'" in capsys.readouterr().err
