"""Tests of single segment files."""
