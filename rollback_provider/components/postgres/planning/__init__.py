"""Planning: what the data half of a rollback will do, and the ledger. Changes nothing."""
