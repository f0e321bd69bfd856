"""Tests of the ``aurora-es`` command through its real entry point."""
