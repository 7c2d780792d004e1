"""Command line of MutualRec: the composition root that imports the other packages lazily."""

__version__ = "0.1.0"
