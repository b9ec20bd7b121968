"""PostgreSQL: rollback as a three-way revert, on a stock server, as an ordinary owner role."""
