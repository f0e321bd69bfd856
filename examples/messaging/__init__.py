"""Examples of the queue: ping-pong of two processes, a work queue with a crash, a chat."""
