"""A client of Redis that dies at a given moment, for tests."""

import redis


class Crash(Exception):
    """The process is gone."""


class DiesBefore:
    """A client that dies when `command` is called; everything else reaches the server."""

    def __init__(self, client: redis.Redis, command: str) -> None:
        self._client, self._command = client, command

    def __getattr__(self, name: str):
        if name == self._command:
            raise Crash
        return getattr(self._client, name)
