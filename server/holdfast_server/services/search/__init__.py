"""Filters, orderings and page tokens of the search methods, without SQL."""
