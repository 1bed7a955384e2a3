"""Whoever writes the answers: one file per backend, all behind `ports.agent`."""
