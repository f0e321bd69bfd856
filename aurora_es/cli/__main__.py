"""Lets ``python -m aurora_es.cli`` stand for ``aurora-es``."""

from aurora_es.cli import main

if __name__ == "__main__":
    main()
