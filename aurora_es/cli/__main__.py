"""Lets ``python -m aurora_es.cli`` stand for ``aurora-es``.

Python imports the whole package before this runs, and shows a traceback to whoever presses Ctrl-C
meanwhile; ``python -m aurora_es_command`` does not.
"""

from aurora_es.cli import main

if __name__ == "__main__":
    main()
