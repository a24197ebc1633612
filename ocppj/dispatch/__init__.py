"""What is sent when: queues, dispatchers, timeouts and retries."""
