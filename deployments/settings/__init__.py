"""The settings of a server: one documented table, resolved once."""
