"""Stores for the cache: memory, SQLite and Redis."""
