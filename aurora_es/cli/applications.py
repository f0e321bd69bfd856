"""Loads the application whose mapper decodes what a command shows."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from aurora_es.decoding import ApplicationDecoder


def decoder_of(
    app: str | None, path: str, *, projector: str | None = None
) -> ApplicationDecoder | None:
    """The decoder of ``--app``, None if it was not given; raises ApplicationLoadError.

    Raises AuroraConfigurationError beside a version of the library that is not supported.
    """
    if app is None:
        if projector is not None:
            message = "expected --app with --projector"
            raise typer.BadParameter(message)
        return None
    from aurora_es.decoding import load_decoder

    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)  # as ``python -m`` does: applications are run from there
    return load_decoder(app, path, projector=projector)
