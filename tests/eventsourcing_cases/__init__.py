"""The library's shipped test cases, subclassed unchanged."""
