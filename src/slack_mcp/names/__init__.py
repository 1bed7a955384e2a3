"""What names of channels and people stand for, and what they are called."""
