"""Cron expressions as everybody writes them, for APScheduler."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apscheduler.triggers.cron import CronTrigger

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_PART = re.compile(r"(?:\*|(?P<first>[0-7])(?:-(?P<last>[0-7]))?)(?:/(?P<step>[1-7]))?")


class CronInvalid(ValueError):
    """A cron expression that means nothing."""


def cron_trigger(expression: str, jitter_s: int = 0) -> "CronTrigger":
    """Return the trigger of five fields, in UTC: minute, hour, day, month, day of the week.

    In the last field 0 and 7 are Sunday, as in cron. Where both days are restricted, both must
    match; cron itself would take either.

    Args:
        expression: The five fields.
        jitter_s: Seconds by which it may fire late, at random.

    Raises:
        CronInvalid: It has other fields, or one that cannot be read.
    """
    from datetime import UTC

    from apscheduler.triggers.cron import CronTrigger

    fields = expression.split()
    try:
        if len(fields) != 5:
            raise ValueError(f"it has {len(fields)} fields")
        minute, hour, day, month, day_of_week = fields
        return CronTrigger(
            minute=minute,
            hour=hour,
            day=day,
            month=month,
            day_of_week=",".join(_named(part) for part in day_of_week.split(",")),
            timezone=UTC,
            jitter=jitter_s or None,
        )
    except ValueError as error:
        raise CronInvalid(
            f"{expression!r} is no cron expression ({error}); write minute, hour, day, month and "
            "day of the week, such as MUTUALREC_TRAIN_CRON='30 3 * * 1-5'"
        ) from error


def _named(part: str) -> str:
    """Days of the week by name: APScheduler counts them from Monday."""
    match = _PART.fullmatch(part)
    if part == "*" or match is None:
        return part.lower()  # names are what APScheduler reads as well
    first, step = match["first"], int(match["step"] or 1)
    if first is None:
        days = range(0, 7, step)
    else:
        last = int(match["last"] or (6 if match["step"] else first))
        if last < int(first):
            raise ValueError(f"days {part} run backwards")
        days = range(int(first), last + 1, step)
    return ",".join(_DAYS[day % 7] for day in days)
