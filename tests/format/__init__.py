"""Tests of the bytes on disk."""
