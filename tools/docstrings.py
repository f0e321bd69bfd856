"""An extension of griffe: docstrings as they read in the terminal become Markdown.

A docstring introduces an example by two colons at the end of a paragraph, and an indented block.
Markdown knows the block, and would show both colons.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

TWO_COLONS = re.compile(r"::$(?=\n\n? )", re.MULTILINE)


class Examples(griffe.Extension):
    """Writes one colon where a docstring has two, and leaves a blank line below it."""

    def on_object(self, *, obj: griffe.Object, **_others: Any) -> None:
        """Change the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = TWO_COLONS.sub(":", obj.docstring.value)
