"""The command line within this process: it starts at once, since everything is imported."""

import logging
import sys
from pathlib import Path

import pytest

from mutualrec.main import run


def run_commands(home: Path, *commands: tuple[object, ...]) -> None:
    """Run commands one after the other in the workspace `home`; all of them succeed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MUTUALREC_HOME", str(home))
        patch.delenv("MUTUALREC_REDIS_URL", raising=False)
        for arguments in commands:
            patch.setattr(sys, "argv", ["mutualrec", *map(str, arguments)])
            with pytest.raises(SystemExit) as stop:
                run()
            assert not stop.value.code
    logging.getLogger().handlers.clear()
