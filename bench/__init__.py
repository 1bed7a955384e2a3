"""The benchmark: `python -m bench`, or `make bench`. README.md beside this file says how to read it."""
