"""The packet table, by subject."""
