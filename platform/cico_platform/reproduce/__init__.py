"""Reproduction of the published results: recipes of the three corpora, from downloads to a table."""
