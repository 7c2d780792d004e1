"""Who may train a catalog, what the last training did, and asking for one: all kept in Redis."""
