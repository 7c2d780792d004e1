"""Importers: one module per source format, each writing a dataset folder."""
