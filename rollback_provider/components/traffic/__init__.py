"""Traffic: which servers answer requests, and whose."""
