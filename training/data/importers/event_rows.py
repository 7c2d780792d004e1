"""Text rows into typed events; what does not fit is set aside with a reason."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from training.data.importers.raw_rows import RawRows
from training.data.validation import DAY_MS, EARLIEST_MS, MAX_ID_BYTES

_ISO_FORMATS = (
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
)


@dataclass(frozen=True)
class CleanEvents:
    """Outcome of `clean_events`: ``len(events) + collapsed + len(rejects)`` rows came in.

    Attributes:
        events: Columns of interactions.parquet.
        rejects: Columns line (int64) and reason (text), sorted by line.
        collapsed: Rows that repeat another row exactly.
    """

    events: pl.DataFrame
    rejects: pl.DataFrame
    collapsed: int


def clean_events(
    rows: RawRows,
    roles: dict[str, str],
    *,
    event_types: tuple[str, ...] | None,
    default_type: str,
    now_ms: int,
) -> CleanEvents:
    """Check and convert rows.

    Args:
        rows: Raw rows.
        roles: Source column of ``user_id``, ``item_id``, ``timestamp``, ``type``, ``value``.
        event_types: Known event types; None = whatever occurs.
        default_type: Type of rows that name none.
        now_ms: Current time; rows more than a day later are rejected.
    """
    broken = [_not_utf8(row) for row in zip(*rows.columns.values(), strict=True)]
    text = {
        role: pl.Series(_blanked(rows.columns[column], broken), dtype=pl.String)
        for role, column in roles.items()
    }
    numbers = pl.Series(rows.lines, dtype=pl.Int64)
    raw = pl.DataFrame({**text, "line": numbers, "broken": pl.Series(broken, dtype=pl.Boolean)})
    typed = raw.with_columns(
        type=pl.col("type").fill_null(default_type),
        given_time=pl.col("timestamp"),
        given_value=pl.col("value"),
        timestamp=_times(raw["timestamp"]),
        value=raw["value"].str.strip_chars().cast(pl.Float32, strict=False),
    )
    judged = typed.with_columns(reason=_reason(event_types, now_ms))
    rejects = pl.concat(
        [
            judged.filter(pl.col("reason").is_not_null()).select("line", "reason"),
            pl.DataFrame(
                {
                    "line": [line for line, _ in rows.rejects],
                    "reason": [r for _, r in rows.rejects],
                },
                schema={"line": pl.Int64, "reason": pl.String},
            ),
        ]
    ).sort("line")
    good = judged.filter(pl.col("reason").is_null())
    events = good.select("user_id", "item_id", "timestamp", "type", "value")
    kept = events.unique(maintain_order=True)
    return CleanEvents(kept, rejects, len(events) - len(kept))


def _reason(event_types: tuple[str, ...] | None, now_ms: int) -> pl.Expr:
    time, value = pl.col("timestamp"), pl.col("value")
    rules: list[tuple[pl.Expr, str]] = [(pl.col("broken"), "not UTF-8")]
    for column in ("user_id", "item_id"):
        rules.append((pl.col(column).is_null(), f"{column} is empty"))
        too_long = pl.col(column).str.len_bytes() > MAX_ID_BYTES
        rules.append((too_long, f"{column} is longer than {MAX_ID_BYTES} bytes"))
    rules += [
        (time.is_null() & pl.col("given_time").is_not_null(), "timestamp is not a time"),
        (time < EARLIEST_MS, "timestamp lies before 1973"),
        (time > now_ms + DAY_MS, "timestamp lies in the future"),
        (value.is_null() & pl.col("given_value").is_not_null(), "value is not a number"),
        (~value.is_finite(), "value is not finite"),
    ]
    if event_types is not None:
        rules.append((~pl.col("type").is_in(list(event_types)), "event type is unknown"))
    reason: pl.Expr = pl.lit(None, pl.String)
    for broken, text in reversed(rules):
        reason = pl.when(broken).then(pl.lit(text)).otherwise(reason)
    return reason


def _times(text: pl.Series) -> pl.Series:
    """Epoch ms of numbers (seconds when below 1e11) and ISO 8601 texts (UTC without a zone)."""
    stripped = text.str.strip_chars()
    number = stripped.cast(pl.Float64, strict=False)
    number = number.set(~number.is_finite(), None)
    number = number.set(number.abs() > 2.0**53, None)
    seconds = (number > -EARLIEST_MS) & (number < EARLIEST_MS)
    found = pl.select(
        pl.when(seconds).then(number * 1000).otherwise(number).round().cast(pl.Int64)
    ).to_series()
    for parse in _parsers():
        if not (found.is_null() & stripped.is_not_null()).any():
            break
        found = pl.select(pl.coalesce(found, parse(stripped))).to_series()
    return found


def _parsers() -> list[Callable[[pl.Series], pl.Series]]:
    def moment(pattern: str) -> Callable[[pl.Series], pl.Series]:
        return lambda text: text.str.to_datetime(pattern, strict=False, time_unit="ms").dt.epoch(
            "ms"
        )

    def day(text: pl.Series) -> pl.Series:
        return text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("ms")).dt.epoch("ms")

    return [*(moment(pattern) for pattern in _ISO_FORMATS), day]


def _not_utf8(row: tuple[str | None, ...]) -> bool:
    return any(value is not None and not value.isascii() and _has_surrogate(value) for value in row)


def _blanked(values: list[str | None], broken: list[bool]) -> list[str | None]:
    return [None if bad else value for value, bad in zip(values, broken, strict=True)]


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
