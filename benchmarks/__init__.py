"""Measures Holdfast against its peers on one machine; ``make bench`` runs all of it."""
