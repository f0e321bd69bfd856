"""Bytes on disk: encoders and decoders only; no files, no clock, no random source."""
