"""What the rooms need from each other and from outside, as Protocols: each states its guarantees and its errors."""
