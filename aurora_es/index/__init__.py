"""The in-memory index over the records of a journal."""
