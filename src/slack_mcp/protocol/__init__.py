"""Slack's formats and rules as pure functions: bytes and values in, values out; time and chance are arguments."""
