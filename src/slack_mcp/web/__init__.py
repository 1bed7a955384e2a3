"""The HTTP face: bytes in, one call, a status out. No rules of its own."""
