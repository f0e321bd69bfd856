"""Tests of what the documentation says, beyond that its code runs and its links lead somewhere."""
