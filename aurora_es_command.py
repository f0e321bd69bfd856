"""Where the command ``aurora-es`` begins: outside of the package, whose import takes most of its start.

Whoever presses Ctrl-C at once gets no traceback of imports: until there are commands that could be
told (``aurora_es.cli.main``), SIGINT ends the process as it ends any other.
"""

import signal


def main() -> None:
    """Run the command with the arguments of this process, and exit."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from aurora_es.cli import main as run

    run()


if __name__ == "__main__":
    main()
