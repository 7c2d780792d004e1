"""Importer for the SEC's quarterly Form 13F data sets: fund companies and what they hold."""

from training.data.importers.sec13f.importer import import_sec13f as import_sec13f
