"""A process that drains and compacts until it is killed: URL, log, batch size, file when ready."""

import itertools
import sys
from pathlib import Path

from service.store.connection import connect_blocking
from training.event_log import compact, drain

_COMPACT_EVERY = 4


def main() -> None:
    """Drain for ever; every few rounds compact."""
    url, log, batch_size, ready = sys.argv[1:]
    client = connect_blocking(url)
    Path(ready).touch()
    for number in itertools.count(1):
        drain(client, "default", Path(log), batch_size=int(batch_size))
        if number % _COMPACT_EVERY == 0:
            compact(Path(log))


if __name__ == "__main__":
    main()
