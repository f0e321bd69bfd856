"""Looks inside journals, for the commands and for a browser page: nothing here writes.

Theory of operation: every function takes a journal that ``open_to_read`` has opened, which takes no
lock and disturbs no writer, and returns values that JSON can hold. What may be long comes in pages.
"""
