"""Shipped test tools: a crashable file layer."""
