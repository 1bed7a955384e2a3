"""Backups: one file each, sealed and checked, in a directory or a bucket; made, read, restored and thrown away."""
