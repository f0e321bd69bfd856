"""The ``aurora-es`` command: looks inside journals, follows them, and looks after them."""

import io
import logging
import os
import signal
import sys

_EXTRA = frozenset({"click", "rich", "shellingham", "typer"})  # what the extra [cli] brings in


def main() -> None:
    """Run the command with the arguments of this process, and exit."""
    # Until there is somebody to tell Ctrl-C to, it ends us without a traceback of imports; the
    # console script (aurora_es_command.py) sees to it even before.
    is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if not is_ignored:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from aurora_es.cli.commands import app
        from aurora_es.cli.endings import exit_with
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        message = (
            f"aurora-es: the command needs the package {missing}, which is not installed; the"
            " library itself does not. Install it with: pip install 'aurora-es[cli]'"
        )
        print(message, file=sys.stderr)
        sys.exit(1)
    # Closed by whoever started us (`>&-`): what is printed is not wanted, and no file that is opened
    # later may get its number.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a locale without UTF-8 is no failure
    logging.basicConfig(level=logging.WARNING, format="%(message)s")  # on stderr
    if not is_ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    exit_with(app)
