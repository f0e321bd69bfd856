"""Tests against the library's next version, in an environment of its own: ``make test-next``."""
