"""Stores of objects, and blocks on top of them."""
