"""One segment file: how it is written, walked and read."""
