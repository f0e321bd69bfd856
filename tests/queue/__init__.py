"""Tests of the queue: senders, receivers, names and groups, retention."""
