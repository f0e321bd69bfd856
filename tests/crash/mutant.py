"""What a mutant is: see ``mutants.py``."""

from __future__ import annotations

from dataclasses import dataclass

Edit = tuple[str, str, str]  # file below aurora_es/, old text, new text


@dataclass(frozen=True)
class Mutant:
    """A breakage.

    ``killed_by`` is a test below tests/ that kills it, where histories are slow to. ``why_alive`` is
    set where it breaks no promise that can be observed.
    """

    name: str
    edits: tuple[Edit, ...]
    killed_by: str = ""
    why_alive: str = ""
