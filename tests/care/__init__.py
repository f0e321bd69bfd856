"""Tests of care: verify and its findings, a catalogue of damages."""
