"""How many times as fast as SQLite each operation is, as a picture: plain SVG, a bar for each row.

To the right of the line at 1 aurora_es is faster, to the left SQLite is. The axis is logarithmic, so
that twice and half as fast are as far from the line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, log2
from typing import Any
from xml.sax.saxutils import escape

_WIDTH, _LEFT, _RIGHT = 760, 330, 60
_ROW, _TOP, _BOTTOM = 22, 34, 28
_FASTER, _SLOWER = "#1b6ca8", "#b3541e"


def rows_of(report: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Title and ratio of each row that compares with SQLite, and not with what its title says."""
    found = []
    for row in report["rows"]:
        medians = row["median"]
        if any(words in row["work"] for words in ("beside:", "against memory")):
            continue
        if row["ratio"] and medians.get("sqlite") and medians.get("aurora"):
            sync = row["cells"][1]
            told = f" ({sync})" if sync != "-" else ""
            found.append((f"{row['work'].strip()}{told}", row["ratio"]))
    return found


def svg(rows: Sequence[tuple[str, float]]) -> str:
    """The picture."""
    low = min(-1, floor(log2(min(ratio for _, ratio in rows))))
    high = max(1, ceil(log2(max(ratio for _, ratio in rows))))
    height = _TOP + _ROW * len(rows) + _BOTTOM

    def place(ratio: float) -> float:
        return _LEFT + (log2(ratio) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img"',
        'font-family="sans-serif" font-size="11">',
        "<title>How many times as fast as SQLite</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{place(1) - 8:.1f}" y="16" text-anchor="end">SQLite is faster</text>',
        f'<text x="{place(1) + 8:.1f}" y="16">aurora_es is faster</text>',
    ]
    for power in range(low, high + 1):
        x, colour = place(2.0**power), "#777777" if power == 0 else "#dddddd"
        parts.append(f'<path d="M{x:.1f} {_TOP - 8}V{height - _BOTTOM}" stroke="{colour}"/>')
        text = f"{2**power} x" if power >= 0 else f"1/{2**-power}"
        parts.append(
            f'<text x="{x:.1f}" y="{height - _BOTTOM + 16}" text-anchor="middle">{text}</text>'
        )
    for number, (title, ratio) in enumerate(rows):
        y = _TOP + _ROW * number
        left, right = sorted((place(1), place(ratio)))
        width = max(right - left, 1.0)
        colour = _FASTER if ratio >= 1 else _SLOWER
        parts += [
            f'<text x="{_LEFT - 14}" y="{y + 13}" text-anchor="end">{escape(_short(title))}</text>',
            f'<rect x="{left:.1f}" y="{y + 3}" width="{width:.1f}" height="14" fill="{colour}"/>',
            f'<text x="{right + 5:.1f}" y="{y + 14}">{ratio:.2f}</text>',
        ]
    return "\n".join([*parts, "</svg>\n"])


def _short(title: str) -> str:
    return title if len(title) <= 58 else title[:56].rstrip() + " …"
