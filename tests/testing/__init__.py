"""Tests of the test tools that are shipped."""
