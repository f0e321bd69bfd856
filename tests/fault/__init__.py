"""Faults from outside: real processes, system calls, file systems and hostile bytes."""
