"""Effects on the outside world: files, locks, mounts, wake-ups."""
