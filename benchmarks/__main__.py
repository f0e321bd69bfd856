"""The command: choose rows, measure them, print the table, keep the JSON."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .machine import MEMORY_FILE_SYSTEMS, machine_facts
from .progress import make_progress
from .registry import BENCHMARKS, GROWTH
from .report import markdown, print_table, write_json
from .rows import Row
from .scale_plot import plot, svg
from .session import QUICK, Scale, Session
from .stores import aurora_missing, warn_when_aurora_is_missing

RESULTS = Path(__file__).resolve().parent / "results"
GROWTH_SIZES = (10**4, 10**5, 10**6)
QUICK_GROWTH_SIZES = (10**4,)
GROWTH_SIZE_MAX = 10**7
SCALE_PREFIX = "scale-"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure aurora_es beside the library's SQLite and in-memory recorders.",
        epilog=f"rows: {', '.join(BENCHMARKS)}",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="small counts: shows that it runs, not how fast")
    add("--rows", metavar="A,B", help="only these rows (default: all but growth)")
    add("--growth", action="store_true", help="also the rows of scale: 10^4, 10^5, 10^6 events")
    add("--growth-max", action="store_true", help="the same, up to 10^7 events")
    add("--json", type=Path, metavar="PATH", help="default: benchmarks/results/latest.json")
    add("--scale-json", type=Path, metavar="PATH", help="default: benchmarks/results/scale.json")
    add("--directory", type=Path, help="where the stores live meanwhile (default: this disk)")
    add("--markdown", action="store_true", help="print the table as Markdown")
    add("--show", type=Path, metavar="PATH", help="print a kept JSON file and measure nothing")
    return parser


def _chosen_rows(parser: argparse.ArgumentParser, options: argparse.Namespace) -> list[str]:
    growing = options.growth or options.growth_max
    if options.rows is None:
        return [name for name in BENCHMARKS if name != GROWTH or growing]
    names = [name.strip() for name in options.rows.split(",") if name.strip()]
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"no such row: {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
    return names + [GROWTH] * (growing and GROWTH not in names)


def _measure(session: Session, names: Sequence[str]) -> tuple[list[Row], dict[str, str]]:
    """Run the benchmarks; one that fails is named and does not stop the others."""
    rows: list[Row] = []
    errors: dict[str, str] = {}
    for name in names:
        try:
            rows += BENCHMARKS[name](session)
        except KeyboardInterrupt:
            errors[name] = "interrupted"
            break
        except Exception as error:  # noqa: BLE001 - named in the report; the others go on
            text = f"{type(error).__name__}: {error}"
            if text not in errors.values():
                traceback.print_exc(limit=-5)
            errors[name] = text
    return rows, errors


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> dict[str, Any]:
    names = _chosen_rows(parser, options)
    sizes = QUICK_GROWTH_SIZES if options.quick else GROWTH_SIZES
    if options.growth_max:
        sizes = (*sizes, GROWTH_SIZE_MAX)
    scale = QUICK if options.quick else Scale()
    warn_when_aurora_is_missing()
    progress = make_progress()
    try:
        with Session(options.directory or RESULTS, scale, progress, sizes) as session:
            machine = machine_facts(session.directory)
            disk = machine["file_system"]["type"]
            if disk in MEMORY_FILE_SYSTEMS:
                print(f"warning: the stores lie on {disk}, not on a disk", file=sys.stderr)
            rows, errors = _measure(session, names)
    finally:
        progress.close()
    return {
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "quick": options.quick,
        "note": aurora_missing(),
        "machine": machine,
        "scale": asdict(scale),
        "rows": [row.as_json() for row in rows],
        "errors": errors,
    }


def _keep(report: dict[str, Any], options: argparse.Namespace) -> None:
    """Write the files: one for the rows of scale, with a picture, and one for all others."""
    # A quick run must not replace the figures of a full one.
    names = ("quick.json", "quick-scale.json") if options.quick else ("latest.json", "scale.json")
    of_scale = [row for row in report["rows"] if row["key"].startswith(SCALE_PREFIX)]
    others = [row for row in report["rows"] if not row["key"].startswith(SCALE_PREFIX)]
    if others or not of_scale:
        write_json({**report, "rows": others}, options.json or RESULTS / names[0])
    if of_scale:
        found = {**report, "rows": of_scale}
        path = options.scale_json or RESULTS / names[1]
        write_json(found, path)
        path.with_suffix(".svg").write_text(svg(found), encoding="utf-8")


def main() -> int:
    """Run the command; 1 when a benchmark failed (a target that was missed is no failure)."""
    parser = _parser()
    options = parser.parse_args()
    if options.show is not None:
        report = json.loads(options.show.read_text(encoding="utf-8"))
    else:
        report = _run(parser, options)
        _keep(report, options)
    if options.markdown:
        print(markdown(report))
    else:
        print_table(report)
        if sys.stdout.isatty():
            plot(report)
    return 1 if report["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
