"""Programs that use inference clients others wrote, and the gateway and models they talk to."""
