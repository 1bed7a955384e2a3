"""What went wrong, for whoever started the benchmark."""


class BenchError(Exception):
    """Something could not be measured, or a measurement did not pass its own checks."""
