"""An endpoint for Prometheus, of the standard library alone, beside an application at work."""
