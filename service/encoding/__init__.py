"""Texts of items to vectors of the catalog's modalities; its packages are an extra."""
