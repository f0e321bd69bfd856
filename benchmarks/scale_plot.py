"""Cost against size: a picture for the documentation, and plots in the terminal.

The picture is plain SVG, one small panel per row, both axes logarithmic; it needs no library.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from math import ceil, floor, log10
from typing import Any
from xml.sax.saxutils import escape

from .rows import format_value

Line = list[tuple[float, float]]
_COLOURS = {"sqlite": "#b3541e", "memory": "#777777", "aurora": "#1b6ca8"}
_NAMES = {"sqlite": "SQLite", "memory": "in-memory", "aurora": "aurora_es"}
_WIDTH, _HEIGHT, _COLUMNS = 300, 210, 3
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 34, 30
_TERMINAL_ROWS = ("last", "absent", "replay", "page")


def panels(report: dict[str, Any]) -> list[tuple[str, str, str, dict[str, Line]]]:
    """Name, title, unit and a line per store, of each row that was measured at several sizes."""
    found: dict[str, tuple[str, str, dict[str, Line]]] = {}
    for row in report["rows"]:
        size = row["details"].get("size")
        if size is None:
            continue
        name = row["key"].split("-", 2)[2]
        title = row["work"].partition(": ")[2]
        lines = found.setdefault(name, (title, row["unit"], {}))[2]
        for kind, value in row["median"].items():
            if value:
                lines.setdefault(kind, []).append((size, value))
    return [
        (name, title, unit, lines)
        for name, (title, unit, lines) in found.items()
        if any(len(line) > 1 for line in lines.values())
    ]


def svg(report: dict[str, Any]) -> str:
    """All panels as one picture."""
    drawn = [panel for panel in panels(report) if panel[0] not in {"last-us", "packed-memory"}]
    rows = ceil(len(drawn) / _COLUMNS)
    width, height = _WIDTH * _COLUMNS, _HEIGHT * rows + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"',
        'font-family="sans-serif" font-size="10">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, (kind, colour) in enumerate(_COLOURS.items()):
        parts.append(f'<text x="{10 + 90 * number}" y="15" fill="{colour}">{_NAMES[kind]}</text>')
    for number, (_, title, unit, lines) in enumerate(drawn):
        x, y = _WIDTH * (number % _COLUMNS), 24 + _HEIGHT * (number // _COLUMNS)
        parts.append(f'<g transform="translate({x},{y})">{_panel(title, unit, lines)}</g>')
    return "\n".join([*parts, "</svg>\n"])


def _panel(title: str, unit: Any, lines: dict[str, Line]) -> str:
    points = [point for line in lines.values() for point in line]
    sizes, values = [log10(size) for size, _ in points], [log10(value) for _, value in points]
    left, right = min(sizes), max(sizes)
    low, high = floor(min(values)), ceil(max(values))
    high = max(high, low + 1)

    def place(size: float, value: float) -> tuple[float, float]:
        across, up = (log10(size) - left) / (right - left), (log10(value) - low) / (high - low)
        return (
            _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )

    parts = [f'<text x="{_LEFT}" y="{_TOP - 12}" font-size="11">{escape(title[:48])}</text>']
    for power in range(low, high + 1):
        (x, y), end = place(10**left, 10.0**power), _WIDTH - _RIGHT
        parts.append(f'<path d="M{x:.0f} {y:.1f}H{end}" stroke="#dddddd"/>')
        text = escape(format_value(10.0**power, unit))
        parts.append(f'<text x="{x - 6:.0f}" y="{y + 3:.1f}" text-anchor="end">{text}</text>')
    for size in sorted({size for size, _ in points}):
        x, y = place(size, 10.0**low)
        text = f"1e{log10(size):.0f}"
        parts.append(f'<text x="{x:.1f}" y="{y + 14:.1f}" text-anchor="middle">{text}</text>')
    for kind, line in lines.items():
        places = [place(*point) for point in sorted(line)]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        colour = _COLOURS[kind]
        parts.append(f'<polyline points="{joined}" fill="none" stroke="{colour}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in places]
    return "".join(parts)


def plot(report: dict[str, Any], names: Sequence[str] = _TERMINAL_ROWS) -> None:
    """Draw some panels in the terminal, where plotext is installed."""
    if find_spec("plotext") is None:
        return
    import plotext

    for name, title, unit, lines in panels(report):
        if name not in names:
            continue
        plotext.clear_figure()
        plotext.plot_size(76, 16)
        for kind, line in lines.items():
            sizes = [log10(size) for size, _ in sorted(line)]
            values = [log10(value) for _, value in sorted(line)]
            plotext.plot(sizes, values, label=_NAMES[kind], marker="braille")
        plotext.title(f"{title}: log10 of {unit} against log10 of events")
        plotext.show()
