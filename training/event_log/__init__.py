"""The event log: what the service took, moved from Redis streams to Parquet files for good.

A catalog's log is a folder:

* ``<YYYY-MM-DD>/p07-<first id>-<last id>.parquet`` is a segment: events of one partition and day,
  written under another name, fsynced, renamed. Only then are its entries acknowledged and trimmed.
* ``p16`` is no partition of the streams: its segments hold imported events.
* ``log.json`` says what file names cannot: who was erased, and how often events came late.

Whatever dies in between is repeated by the next drain; readers count an event once per
``event_id``. Segments are replaced only by compaction and erasure, while nobody reads.
"""

from training.event_log.compaction import CompactionReport, compact
from training.event_log.draining import CONSUMER, DrainReport, drain
from training.event_log.erasing import forget_waiting, traces
from training.event_log.reading import read_events, watermark_of
from training.event_log.schema import SCHEMA, SCHEMA_VERSION
from training.event_log.transfer import ImportReport, events_of, export_events, import_events
from training.event_log.verification import LogReport, verify

__all__ = [
    "CONSUMER",
    "SCHEMA",
    "SCHEMA_VERSION",
    "CompactionReport",
    "DrainReport",
    "ImportReport",
    "LogReport",
    "compact",
    "drain",
    "events_of",
    "export_events",
    "forget_waiting",
    "import_events",
    "read_events",
    "traces",
    "verify",
    "watermark_of",
]
