"""What the service counts of itself, and how Prometheus reads it: never anything of a tenant, a person or a message."""
