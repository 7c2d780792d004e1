"""Offline training: data, graphs, the training loop, evaluation, ensembles, publishing."""
