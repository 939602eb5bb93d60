"""Repositories over portable SQL, and SQLite below them."""
