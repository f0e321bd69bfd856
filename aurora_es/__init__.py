"""aurora_es: a durable event store in plain files, for the ``eventsourcing`` library."""
