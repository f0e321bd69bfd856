"""Tests of what looks inside journals."""
