"""The way from the SEC's tables to a dataset folder with positions as dated events."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from training.data.dataset import DatasetDraft, EventType, write_dataset
from training.data.importers.rejects import write_rejects
from training.data.importers.report import ImportReport
from training.data.importers.sec13f import companies, filings, positions
from training.data.importers.sec13f.bulk_tables import BulkTables, read_bulk_tables
from training.data.importers.sec13f.funds_folder import managers_of, write_funds_folder
from training.data.importers.sec13f.lines import Lines, read_lines
from training.data.importers.sec13f.modalities import company_modalities
from training.data.importers.sec13f.reconciliation import Reconciliation, corrected_list
from training.data.importers.sec13f.units import correct_units
from training.errors import SchemaError

EVENT_TYPES = {
    "new": EventType(1.0, half_life_days=365.0),
    "increased": EventType(0.5, half_life_days=365.0),
    "held": EventType(0.25, half_life_days=365.0),
    "reduced": EventType(0.1, sign="neutral", half_life_days=365.0),
    "closed": EventType(1.0, sign="negative", half_life_days=365.0),
}
"""What changed tells what a fund wants: a purchase most, holding on least."""


def import_sec13f(
    source: Path,
    target: Path,
    *,
    name: str | None = None,
    company_tables: Sequence[Path] = (),
    categorical: Sequence[str] | None = None,
    texts: Sequence[str] = (),
    group: float | None = None,
    clock: Callable[[], float] = time.time,
) -> ImportReport:
    """Import the SEC's quarterly Form 13F data sets.

    Users are fund companies, items the listed companies they hold. A position is an event on the
    day its report was filed, of a type that says what changed (new, increased, reduced, closed,
    held), with its share of the portfolio as value. The dataset folder gets a folder ``funds/``
    with positions, managers, filings and the reconciliation of all counts.

    Args:
        source: Folder with one or several data sets, as zips or folders; or one zip.
        target: Dataset folder to write.
        name: Name of the data set; the target's name by default.
        company_tables: Tables of companies, keyed by CUSIP, CUSIP-6, ticker or name; those called
            ``companies.*`` beside the SEC's tables by default.
        categorical: Columns of them that are modalities; by default all text columns whose
            values repeat.
        texts: Columns of prose that become modalities of vectors.
        group: Columns sharing this part of their information become one modality.
        clock: Seconds since the epoch.

    Returns:
        Counts (of merged lines and ended positions: `Reconciliation`), rejects, findings.

    Raises:
        SchemaError: A table, a line or a column is wrong, or no line is a position.
    """
    tables = read_bulk_tables(source)
    reports, notes = filings.read_filings(tables)
    lines = read_lines(tables.holdings, reports, tables.submissions["ACCESSION_NUMBER"])
    reject_file = write_rejects(target, lines.rejects)
    reports = filings.effective(correct_units(lines.kept, reports))
    used = lines.kept.join(reports.filter("used").select("accession"), on="accession", how="semi")
    if used.is_empty():
        where = f"; see {reject_file}" if reject_file else ""
        raise SchemaError(f"{source}: none of {lines.counts['read']} lines is a position{where}")
    held = positions.merge_positions(used, reports)
    quarters = positions.reported_quarters(reports)
    splits = positions.find_splits(held, quarters)
    changed = positions.with_changes(held, quarters, splits)
    found_tables = company_tables or companies.find_company_tables(source)
    described = [companies.read_company_table(path) for path in found_tables]
    items, matched = companies.company_items(used, described)
    known = company_modalities(items, categorical=categorical, texts=texts, group=group)
    balance = _reconcile(tables, lines, reports, used, changed, items, matched, splits)
    draft = DatasetDraft(
        name=name or target.name,
        event_types=EVENT_TYPES,
        modalities=known.specs,
        interactions=_events(changed),
        items=known.items,
        users=managers_of(changed, reports).select("name", "cik", user_id="fund_id"),
        features=known.features,
    )

    def funds(folder: Path) -> None:
        write_funds_folder(folder, changed, reports, balance)

    found = [*notes, *lines.notes, *write_dataset(target, draft, clock=clock, also=funds)]
    rejected = len(lines.rejects)
    if rejected:
        found.append(f"{rejected} lines were rejected, see {reject_file}")
    return ImportReport(draft.name, target, balance.counts(), rejected, tuple(found), reject_file)


def _events(changed: pl.DataFrame) -> pl.DataFrame:
    return changed.select(
        user_id="fund_id",
        item_id="company_id",
        timestamp=pl.col("filed").cast(pl.Datetime("ms")).dt.epoch("ms"),
        type="change",
        value=pl.col("share").cast(pl.Float32),
    ).sort("timestamp", "user_id", "item_id")


def _reconcile(
    tables: BulkTables,
    lines: Lines,
    reports: pl.DataFrame,
    used: pl.DataFrame,
    changed: pl.DataFrame,
    items: pl.DataFrame,
    matched: int,
    splits: pl.DataFrame,
) -> Reconciliation:
    events = dict(sorted(changed["change"].value_counts().iter_rows()))
    held = changed.filter(pl.col("change") != "closed")
    counts = lines.counts
    return Reconciliation(
        data_sets=tables.num_sets,
        managers=reports["fund_id"].n_unique(),
        filings=len(reports),
        notices=len(tables.submissions) - len(reports),
        filings_replaced=int((~reports["used"]).sum()),
        amendments=int((reports["amendment"] != "none").sum()),
        issuers=len(items),
        issuers_with_attributes=matched,
        etfs=int((items["etf"] == "yes").sum()),
        lines_read=counts["read"],
        lines_rejected=counts["rejected"],
        lines_of_notices=counts["notices"],
        lines_options=counts["options"],
        lines_principal=counts["principal"],
        lines_empty=counts["empty"],
        lines_replaced=len(lines.kept) - len(used),
        positions=len(used),
        share_classes_merged=len(used) - len(held),
        holdings=len(held),
        closed=len(changed) - len(held),
        events=events,
        first_quarter=str(held["quarter"].min()),
        last_quarter=str(held["quarter"].max()),
        filings_comparable=int(reports["comparable"].sum()),
        filings_corrected=corrected_list(reports),
        splits=splits.select("company_id", pl.col("quarter").cast(pl.String), "ratio").to_dicts(),
    )
