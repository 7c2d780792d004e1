"""Processes that serve: this one, or several that a supervisor forks, watches and replaces."""
