"""Percentiles of workloads as a picture: plain SVG, one small panel for each operation.

From left to right p50, p90, p99 and p99.9; upwards the time, logarithmic; a line for each store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from typing import Any
from xml.sax.saxutils import escape

from .rows import format_value
from .workload_stores import MEMORY, OURS, POSTGRES, SQLITE, UMADB

# Dark enough on white, and told apart by shape where colours are not.
_STYLES = {
    OURS: ("#1b6ca8", ""),
    SQLITE: ("#b3541e", "6 2"),
    POSTGRES: ("#5b2a86", "2 2"),
    UMADB: ("#2e7d32", "8 2 2 2"),
    MEMORY: ("#777777", "1 3"),
}
_WIDTH, _HEIGHT, _COLUMNS = 380, 230, 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 38, 28
_LEGEND = 26

Percentiles = Mapping[str, float]
Panel = tuple[str, Mapping[str, Percentiles]]


def panels_of(rows: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """A panel for each operation and sync mode, with the percentiles of each store."""
    found: dict[str, dict[str, Percentiles]] = {}
    for row in rows:
        title = f"{row['operation']} ({row['sync']})"
        found.setdefault(title, {})[row["store"]] = row["percentiles"]
    return list(found.items())


def svg(title: str, panels: Sequence[Panel]) -> str:
    """All panels as one picture."""
    width = _WIDTH * min(_COLUMNS, len(panels))
    height = _HEIGHT * ceil(len(panels) / _COLUMNS) + _LEGEND
    stores = [name for name in _STYLES if any(name in lines for _, lines in panels)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"',
        f'font-family="sans-serif" font-size="11"><title>{escape(title)}</title>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, name in enumerate(stores):
        x = 12 + 118 * number
        parts.append(_line([(x, 15), (x + 26, 15)], name))
        parts.append(f'<text x="{x + 32}" y="19" fill="{_STYLES[name][0]}">{name}</text>')
    for number, panel in enumerate(panels):
        x, y = _WIDTH * (number % _COLUMNS), _LEGEND + _HEIGHT * (number // _COLUMNS)
        parts.append(f'<g transform="translate({x},{y})">{_panel(*panel)}</g>')
    return "\n".join([*parts, "</svg>\n"])


def _line(points: Sequence[tuple[float, float]], name: str) -> str:
    colour, dashes = _STYLES[name]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    drawn = f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"'
    return f'{drawn} stroke-dasharray="{dashes}"/>' if dashes else f"{drawn}/>"


def _panel(title: str, lines: Mapping[str, Percentiles]) -> str:
    values = [value for line in lines.values() for value in line.values()]
    low = floor(log10(min(values)))
    high = max(ceil(log10(max(values))), low + 1)
    percents = list(next(iter(lines.values())))
    step = (_WIDTH - _LEFT - _RIGHT - 20) / max(1, len(percents) - 1)

    def height_of(seconds: float) -> float:
        up = (log10(seconds) - low) / (high - low)
        return _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    parts = [f'<text x="{_LEFT - 50}" y="{_TOP - 16}" font-size="12">{escape(title)}</text>']
    for power in range(low, high + 1):
        y, text = height_of(10.0**power), escape(format_value(10.0**power, "seconds"))
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#dddddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    across = [_LEFT + 10 + step * at for at in range(len(percents))]
    for x, percent in zip(across, percents, strict=True):
        y = _HEIGHT - _BOTTOM + 16
        parts.append(f'<text x="{x:.1f}" y="{y}" text-anchor="middle">p{percent}</text>')
    for name, line in lines.items():
        points = [(x, height_of(it)) for x, it in zip(across, line.values(), strict=True)]
        parts.append(_line(points, name))
        colour = _STYLES[name][0]
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
    return "".join(parts)
