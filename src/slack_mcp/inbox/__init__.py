"""Deliveries on their way in: verified and journalled before the ack, claimed by lane, worked on, settled."""
