"""Writes docs/reliability.md from the figures: ``python -m tests.fault.page``."""

from __future__ import annotations

import sys
from typing import Any

from tests.fault.figures import ROOT, all_figures
from tests.fault.rules import EXPERIMENTS, RULES, TOOLS, Experiment
from tests.fault.speed import speed_table

PAGE = ROOT / "docs" / "reliability.md"
_CHOSEN = {"E2", "E6"}  # their trials are enumerated, not drawn
_HEAD = """# Reliability

What was done to break the [promises](../README.md#what-it-promises), with what result. How appending,
rolling and recovery work is told in [crash safety](internals/crash-safety.md), what has to be true of
disk and system in [assumptions](internals/assumptions.md).

This page is written by `python -m tests.fault.page` from the files in `docs/reliability/`, which the
experiments write. An experiment ends at the first broken promise and then writes nothing: every row
stands for a run with **no** violation. No failure in N independent trials means, with 95 %
confidence, that fewer than 3/N of such trials fail; that bound is in the last column. Where all cases of
a kind were tried, or some were chosen in order, there is no bound to tell. Whether these tests notice anything
is tested, too: see the [mutants](internals/mutants.md).

Figures were not made in one night, on one revision: each row has its date and the revision that was run,
and stands for no other. What has changed since is held by the short forms, which `make test` runs anew.

The short form of each experiment is part of `make test`. The long one:

```
make reliability                       # all of them, a night
make reliability ARGS='-k power_cuts'  # some of them
python -m tests.fault.page             # write this page
```
"""


def render() -> str:
    """The page."""
    figures = all_figures()
    parts = [_HEAD, _summary(figures)]
    parts += [_section(one, figures) for one in EXPERIMENTS]
    parts += [speed_table(), _rules(), _tools()]
    return "\n".join(parts)


def _summary(figures: list[dict[str, Any]]) -> str:
    lines = [
        "## Summary\n",
        "What was planned as one long run, and what was run; both cores were shared with other work.\n",
        "| | experiment | planned | trials | hours |",
        "|---|---|---|---:|---:|",
    ]
    for one in EXPERIMENTS:
        told = [each for each in figures if each["experiment"] == one.key]
        trials = sum(each["trials"] for each in told)
        hours = sum(each["seconds"] for each in told) / 3600
        cells = f"{trials:,} | {hours:.2f}" if told else "not run yet | "
        anchor = f"{one.key}: {one.title}".lower()
        anchor = "".join(letter for letter in anchor if letter.isalnum() or letter in " -")
        lines.append(
            f"| {one.key} | [{one.title}](#{anchor.replace(' ', '-')}) | {one.planned} | {cells} |"
        )
    return "\n".join(lines) + "\n"


def _section(experiment: Experiment, figures: list[dict[str, Any]]) -> str:
    told = [each for each in figures if each["experiment"] == experiment.key]
    lines = [f"## {experiment.key}: {experiment.title}\n", experiment.text, ""]
    if told:
        lines += [_when(told), ""]
        lines += ["| | trials | seconds | counted | 3/N | run |", "|---|---:|---:|---|---:|---|"]
        lines += [_row(each) for each in told]
        lines += ["", *sorted({_machine(each) for each in told}), ""]
    else:
        lines += ["Not run yet.", ""]
    tests = ", ".join(f"`tests/{name}`" for name in experiment.tests)
    return "\n".join([*lines, f"Tests: {tests}\n"])


def _when(figures: list[dict[str, Any]]) -> str:
    """Dates and revisions of a section."""
    dates = sorted({told["date"][:10] for told in figures})
    days = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    revisions = sorted({told["machine"]["revision"] for told in figures})
    word = "revision" if len(revisions) == 1 else "revisions"
    return f"Run {days}, {word} {', '.join(revisions)}."


def _row(told: dict[str, Any]) -> str:
    counts = ", ".join(f"{name} {_number(value)}" for name, value in told["counts"].items())
    bound = "all" if told["is_exhaustive"] else f"{3 / told['trials']:.1e}"
    if told["experiment"] in _CHOSEN:
        bound = "all" if told["is_exhaustive"] else "chosen"
    trials = f"{told['trials']:,} × {told['trial']}"
    run = f"{told['date'][:10]}, {told['machine']['revision']}"
    return f"| {told['variant']} | {trials} | {told['seconds']:,} | {counts} | {bound} | {run} |"


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _machine(told: dict[str, Any]) -> str:
    machine = told["machine"]
    return f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, {machine['python']}."


def _rules() -> str:
    lines = [
        "## Rules, and what fails when one is broken\n",
        "Each was broken on purpose, by the [mutants](internals/mutants.md) named, and that was noticed.\n",
        "| | rule | tests | broken so that |",
        "|---|---|---|---|",
    ]
    for number, rule in enumerate(RULES, 1):
        tests = ", ".join(f"`{name}`" for name in rule.tests)
        lines.append(f"| R{number} | {rule.says} | {tests} | {'; '.join(rule.mutants)} |")
    return "\n".join(lines) + "\n"


def _tools() -> str:
    lines = ["## Tools\n", "| tool | what for | tests |", "|---|---|---|"]
    for tool in TOOLS:
        tests = ", ".join(f"`{name}`" for name in tool.tests) or "-"
        lines.append(f"| {tool.name} | {tool.use} | {tests} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(), "utf-8")
    sys.stdout.write(f"{PAGE}\n")


if __name__ == "__main__":
    main()
