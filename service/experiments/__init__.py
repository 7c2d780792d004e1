"""Experiments: arms that users are hashed into, and what became of their recommendations."""
