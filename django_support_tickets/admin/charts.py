"""Bar charts as inline SVG: shaped by attributes and classes alone, so that a strict Content-Security-Policy holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

WIDTH, HEIGHT = 720, 240
LEFT, RIGHT, TOP, BOTTOM = 44, 46, 18, 30
#: With more bars than this there is no room for a number above each and a name below each.
ROOMY = 12
#: Names of more characters, such as "30 de noviembre", stand further apart.
LONG_NAME = 13


@dataclass(frozen=True, slots=True)
class Series:
    """One kind of bar: its name, the class that colours it, and a number per label."""

    name: str
    look: str
    values: Sequence[int]

    @property
    def total(self) -> int:
        return sum(self.values)


@dataclass(frozen=True, slots=True)
class Chart:
    """Stacked bars, and the same as a table."""

    name: str
    title: str
    #: What the labels are: the head of the table's first column.
    axis: str
    labels: Sequence[str]
    series: Sequence[Series] = field(default_factory=tuple)

    @property
    def totals(self) -> list[int]:
        return [sum(series.values[index] for series in self.series) for index in range(len(self.labels))]

    @property
    def is_empty(self) -> bool:
        return not any(self.totals)

    @property
    def shown(self) -> list[Series]:
        """Return the series that have anything to show."""
        return [series for series in self.series if series.total]

    @property
    def rows(self) -> Iterator[tuple[str, list[int], int]]:
        """Yield the table: a label, a number per series shown, their sum."""
        for index, (label, total) in enumerate(zip(self.labels, self.totals, strict=True)):
            yield label, [series.values[index] for series in self.shown], total

    @property
    def summary(self) -> str:
        """Return the chart in a sentence."""
        highest = max(self.totals, default=0)
        facts = {
            "title": self.title,
            "total": sum(self.totals),
            "most": highest,
            "where": self.labels[self.totals.index(highest)] if highest else "–",
        }
        return _("%(title)s: %(total)d in all, the most (%(most)d) at “%(where)s”.") % facts

    @property
    def svg(self) -> SafeString:
        """Return the chart as markup."""
        top = ceiling(max(self.totals, default=0))
        return format_html(
            '<svg class="st-chart" viewBox="0 0 {} {}" role="img" aria-label="{}" focusable="false">{}{}{}</svg>',
            WIDTH,
            HEIGHT,
            self.summary,
            _grid(top),
            format_html_join("", "{}", ((bar,) for bar in self._bars(top))),
            format_html_join("", "{}", ((text,) for text in self._names())),
        )

    @property
    def _step(self) -> float:
        return (WIDTH - LEFT - RIGHT) / max(len(self.labels), 1)

    def _bars(self, top: int) -> Iterator[SafeString]:
        width = round(self._step * 0.76, 1)
        for index, label in enumerate(self.labels):
            x, reached = round(LEFT + self._step * (index + 0.12), 1), 0
            for series in self.shown:
                if value := series.values[index]:
                    reached += value
                    yield _bar(x, width, reached, value, top, f"{label} · {series.name}: {value}", series.look)
            if reached and len(self.labels) <= ROOMY:
                yield _text(x + width / 2, _height_of(reached, top) - 4, str(reached), "middle")

    def _names(self) -> Iterator[SafeString]:
        every = 10 if any(len(label) > LONG_NAME for label in self.labels) else 5
        if len(self.labels) <= ROOMY:
            every = 1
        for index, label in enumerate(self.labels):
            # Counted from the end, so that the newest always has its name.
            if (len(self.labels) - 1 - index) % every == 0:
                yield _text(LEFT + self._step * (index + 0.5), HEIGHT - BOTTOM + 18, label, "middle")


def ceiling(highest: int) -> int:
    """Return a round number of at least `highest` that four lines divide evenly."""
    unit = 4
    while True:
        for factor in (1, 2, 5):
            if unit * factor >= highest:
                return unit * factor
        unit *= 10


def _height_of(value: float, top: int) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top, 1)


def _grid(top: int) -> SafeString:
    lines = []
    for quarter in range(5):
        value = top * quarter // 4
        y = _height_of(value, top)
        line = format_html('<line class="st-grid" x1="{}" x2="{}" y1="{}" y2="{}"/>', LEFT, WIDTH - RIGHT, y, y)
        lines.append((line, _text(LEFT - 6, y + 4, str(value), "end")))
    return format_html_join("", "{}{}", lines)


def _bar(x: float, width: float, reached: int, value: int, top: int, title: str, look: str) -> SafeString:
    y = _height_of(reached, top)
    height = round(_height_of(reached - value, top) - y, 1)
    return format_html(
        '<rect class="st-bar st-look-{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>',
        look,
        x,
        y,
        width,
        height,
        title,
    )


def _text(x: float, y: float, text: str, anchor: str) -> SafeString:
    return format_html(
        '<text class="st-axis" x="{}" y="{}" text-anchor="{}">{}</text>', round(x, 1), round(y, 1), anchor, text
    )
