"""Compression of frame payloads."""
