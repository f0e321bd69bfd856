"""Tests of the journal: append, read, tail, roll, recover, refuse."""
