"""Finds the classes that a user names on the command line, as ``module:Class``.

Theory of operation: modules are looked for as by ``python -m``: in the current directory first. Only
what is imported is executed; an error in it is the user's own, and is shown as it is.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer

from aurora_es.errors import AuroraError

if TYPE_CHECKING:
    from types import ModuleType


class ClassNotFoundError(AuroraError):
    """There is no such module, or no such class in it."""


def parse_topic(text: str) -> str:
    """Check the form of ``module:Class``; raises typer.BadParameter."""
    module, _, name = text.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        message = f"expected module:Class, as in bank.views:Balances; found {text!r}"
        raise typer.BadParameter(message)
    return text


def find_class(topic: str) -> type[Any]:
    """Import the class that ``module:Class`` names; raises ClassNotFoundError."""
    module_name, _, name = topic.partition(":")
    found: Any = _import(module_name)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type):
        message = f"{topic}: expected a class {name} in {module_name}, found none"
        raise ClassNotFoundError(message)
    return found


def _import(name: str) -> ModuleType:
    directory = os.getcwd()
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # one that the user's module imports
        message = (
            f"{name}: expected a module in {directory} or on PYTHONPATH, found none of this name;"
            " run the command where `python -m` would find it"
        )
        raise ClassNotFoundError(message) from None
