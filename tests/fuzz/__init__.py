"""Inputs of any shape at every door, very many of them; see `make fuzz`."""
