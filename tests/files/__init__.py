"""Tests of the effects on the outside world."""
