"""Shipped test tools: a crashable and a faulty file layer, and conformance classes."""
