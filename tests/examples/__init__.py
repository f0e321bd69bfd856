"""Tests of the examples: each is run as its docstring says, in a store of its own."""
