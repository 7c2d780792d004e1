"""Retraining as a process: under the lease of its catalog, and on a schedule."""
