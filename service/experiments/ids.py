"""Recommendation ids: 32 hexadecimal digits that say where a recommendation comes from.

16 bytes: 8 random ones, the epoch second, the number of the experiment (0 for none), the index of
the arm, and a check of all that. An event that names the id is counted for its arm without asking
who was served what.
"""

import os
import zlib
from binascii import Error
from datetime import date, timedelta
from struct import Struct
from typing import NamedTuple

MAX_NUMBER = 0xFFFF
MAX_ARM = 0xFF
DAY_S = 86_400

_FIRST_DAY = date(1970, 1, 1)

_BODY = Struct(">8sIHB")


class Origin(NamedTuple):
    """Where a recommendation comes from.

    Attributes:
        served_s: epoch seconds.
        number: the experiment's; 0 for none.
        arm: index of the arm; 0 without an experiment.
    """

    served_s: int
    number: int = 0
    arm: int = 0

    @property
    def day_number(self) -> int:
        """Days from 1970 to the UTC day."""
        return self.served_s // DAY_S

    @property
    def day(self) -> str:
        """The UTC day, such as ``2026-01-31``."""
        return day_name(self.day_number)


def day_name(number: int) -> str:
    """``2026-01-31`` for the day so many days after the first of 1970."""
    return (_FIRST_DAY + timedelta(days=number)).isoformat()


def new_id(origin: Origin) -> str:
    """An id that no other recommendation has."""
    body = _BODY.pack(os.urandom(8), origin.served_s, origin.number, origin.arm)
    return f"{body.hex()}{zlib.crc32(body) & 0xFF:02x}"


def origin_of(recommendation_id: str) -> Origin | None:
    """Where a recommendation comes from; None for an id that is none of ours."""
    if len(recommendation_id) != 2 * (_BODY.size + 1) or not recommendation_id.isascii():
        return None
    try:
        content = bytes.fromhex(recommendation_id)
    except (Error, ValueError):
        return None
    body, check = content[:-1], content[-1:]
    # `fromhex` skips spaces, so that the text may hold fewer digits than it has characters.
    if len(body) != _BODY.size or check != bytes([zlib.crc32(body) & 0xFF]):
        return None
    _, served_s, number, arm = _BODY.unpack(body)
    return Origin(served_s, number, arm)
