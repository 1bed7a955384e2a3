"""The tenants: the one door to a connection, and the ways to save one."""
