"""Tests of the eventsourcing face: factory, recorders, subscriptions, shared journals."""
