"""The vocabulary of the service: ids, records, errors, secrets and time. No I/O, no third-party imports."""
