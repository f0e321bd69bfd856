"""Tests of the page for a browser, through its interface and in a real Chromium."""
