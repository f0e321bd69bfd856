"""Crash histories, exhaustive crash points and mutants of the real journal code."""
