"""A small world of fund companies with tastes, as tables, as a dataset folder and as an artifact.

Every fund prefers one sector. In every quarter it holds some companies, mostly of that sector; each
quarter it sells some and enters others.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from service.artifact import CHANGES, ArtifactDraft, Block, DatasetRef, FundFacts, Member

SECTORS = ("Technology", "Energy", "Health Care", "Industrials")
COUNTRIES = ("United States", "Ireland", "Israel")
SIZES = ("Mega Cap", "Large Cap", "Small Cap")
QUARTERS = (
    date(2024, 3, 31),
    date(2024, 6, 30),
    date(2024, 9, 30),
    date(2024, 12, 31),
    date(2025, 3, 31),
)
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class FundWorld:
    """Tables in the form of a dataset of fund companies."""

    companies: pl.DataFrame
    managers: pl.DataFrame
    positions: pl.DataFrame

    def before(self, quarter: date) -> "FundWorld":
        """The world as it was when the quarter began."""
        kept = self.positions.filter(pl.col("quarter") < quarter)
        return FundWorld(self.companies, self.managers, kept)

    def held(self, fund_id: str, quarter: date | None = None) -> set[str]:
        """What a fund holds, by default in its newest quarter."""
        own = self.positions.filter(pl.col("fund_id") == fund_id)
        newest = own["quarter"].max() if quarter is None else quarter
        held = own.filter((pl.col("quarter") == newest) & (pl.col("change") != "closed"))
        return set(held["company_id"])

    def company(self, company_id: str) -> dict[str, str | None]:
        """A company's attributes."""
        return self.companies.filter(pl.col("item_id") == company_id).row(0, named=True)


def make_world(
    num_funds: int = 12, num_companies: int = 60, seed: int = 0, size: int = 8
) -> FundWorld:
    """Draw a world; about one company in nine lacks a sector, a country or a size.

    Args:
        num_funds: Funds ``f00``, ``f01`` ...
        num_companies: Companies ``c000``, ``c001`` ...
        seed: Of the draw.
        size: How many companies a fund holds about.
    """
    rng = np.random.default_rng(seed)
    ids = [f"c{number:03d}" for number in range(num_companies)]
    sector = [SECTORS[number % len(SECTORS)] for number in range(num_companies)]

    def attribute(values: tuple[str, ...], missing: int) -> list[str | None]:
        drawn = rng.choice(values, num_companies)
        return [None if n % 9 == missing else str(v) for n, v in enumerate(drawn)]

    companies = pl.DataFrame(
        {
            "item_id": ids,
            "name": [f"Company {s.split()[0]} {n}" for n, s in enumerate(sector)],
            "sector": [None if n % 9 == 4 else s for n, s in enumerate(sector)],
            "country": attribute(COUNTRIES, 5),
            "size": attribute(SIZES, 6),
        },
        schema_overrides={"sector": pl.String, "country": pl.String, "size": pl.String},
    )
    rows: list[dict[str, object]] = []
    for fund in range(num_funds):
        taste = np.array([8.0 if s == SECTORS[fund % len(SECTORS)] else 1.0 for s in sector])
        rows += _positions(rng, f"f{fund:02d}", ids, taste, size)
    managers = pl.DataFrame(
        {
            "fund_id": [f"f{fund:02d}" for fund in range(num_funds)],
            "name": [f"{_NAMES[fund % len(_NAMES)]} CAPITAL {fund}" for fund in range(num_funds)],
            "cik": [None if fund % 5 == 3 else f"{1000 + fund:010d}" for fund in range(num_funds)],
        }
    )
    positions = pl.DataFrame(rows, schema_overrides={"quarter": pl.Date, "filed": pl.Date})
    return FundWorld(companies, managers, positions)


_NAMES = ("ABBOT", "BAKER & SONS", "DAVIS", "DODGE", "ÉTOILE")


def _positions(
    rng: np.random.Generator, fund_id: str, ids: list[str], taste: np.ndarray, size: int
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    held: dict[str, float] = {}
    for quarter in QUARTERS:
        before = held
        kept = [company for company in held if rng.random() > 0.2]
        free = [number for number, company in enumerate(ids) if company not in held]
        weights = taste[free] / taste[free].sum()
        entered = rng.choice(free, max(1, size - len(kept)), replace=False, p=weights)
        held = {c: before[c] * float(rng.choice([0.5, 1.0, 2.0])) for c in kept}
        held |= {ids[number]: float(rng.integers(10, 1000)) * 1000 for number in entered.tolist()}
        total = sum(held.values())
        for company in sorted(set(before) | set(held)):
            rows.append(
                {
                    "fund_id": fund_id,
                    "company_id": company,
                    "quarter": quarter,
                    "filed": quarter + timedelta(days=40),
                    "value_usd": held.get(company, 0.0),
                    "share": held.get(company, 0.0) / total,
                    "shares": held.get(company, 0.0) / 10,
                    "change": _change(before.get(company), held.get(company)),
                }
            )
    return rows


def _change(before: float | None, now: float | None) -> str:
    if now is None:
        return "closed"
    if before is None:
        return "new"
    return "held" if now == before else "increased" if now > before else "reduced"


def facts_of_world(world: FundWorld) -> FundFacts:
    """The facts as publishing makes them, by other means."""
    fund_rows = {f: n for n, f in enumerate(world.managers["fund_id"])}
    company_rows = {c: n for n, c in enumerate(world.companies["item_id"])}
    quarters = sorted(set(world.positions["quarter"]))
    rows = sorted(
        (
            (
                fund_rows[p["fund_id"]],
                quarters.index(p["quarter"]),
                company_rows[p["company_id"]],
                CHANGES.index(p["change"]),
                (p["filed"] - EPOCH).days,
                p["value_usd"],
                p["share"],
            )
            for p in world.positions.iter_rows(named=True)
        ),
    )
    funds, quarter, company, change, filed, values, shares = zip(*rows, strict=True)
    return FundFacts(
        quarters=np.array([(q - EPOCH).days for q in quarters], np.int32),
        fund_rows=np.array(funds, np.int32),
        company_rows=np.array(company, np.int32),
        quarter_rows=np.array(quarter, np.int32),
        changes=np.array(change, np.int32),
        filed=np.array(filed, np.int32),
        values=np.array(values, np.float64),
        portfolio_shares=np.array(shares, np.float64),
        names=world.managers["name"].to_list(),
        ciks=world.managers["cik"].to_list(),
        columns={"name": "name", "sector": "sector", "country": "country", "size": "size"},
    )


def draft_of_world(world: FundWorld, seed: int = 0, **changes: object) -> ArtifactDraft:
    """An artifact whose funds like companies near what they hold."""
    rng = np.random.default_rng(seed)
    facts = facts_of_world(world)
    num_funds, num_companies = len(world.managers), len(world.companies)
    width = 8
    centres = {s: rng.normal(size=width) for s in (*SECTORS, None)}
    items = np.stack([centres[s] for s in world.companies["sector"]])
    items = (items + 0.6 * rng.normal(size=items.shape)).astype(np.float32)
    held = np.zeros((num_funds, num_companies), np.float32)
    held[facts.fund_rows, facts.company_rows] = 1
    users = held @ items / np.maximum(held.sum(axis=1, keepdims=True), 1)
    seen = [np.flatnonzero(row).astype(np.int32) for row in held]
    values: dict[str, object] = {
        "dataset": DatasetRef(name="fund-world", fingerprint="0" * 64),
        "split": "official",
        "ensemble": "concat",
        "members": [Member(model="bpr", seed=seed, weight=1.0)],
        "blocks": [Block("bpr", "learned", 0, width, 1.0, zscore=False)],
        "users": users.astype(np.float32),
        "items": items,
        "user_ids": world.managers["fund_id"].to_list(),
        "item_ids": world.companies["item_id"].to_list(),
        "popularity": held.sum(axis=0).astype(np.float64),
        "seen_indptr": np.cumsum([0, *map(len, seen)]).astype(np.int64),
        "seen_indices": np.concatenate(seen),
        "item_metadata": pa.table(world.companies.drop("item_id").to_arrow()),
        "category_fields": ["country", "sector", "size"],
        "recipe": {
            "event_types": {
                "new": {"weight": 1.0, "sign": "positive"},
                "closed": {"weight": 1.0, "sign": "neutral"},
            }
        },
        "funds": facts,
    }
    return ArtifactDraft(**{**values, **changes})  # type: ignore[arg-type]


DATASET_TOML = """name = "fund-world"

[event_types.new]
weight = 1.0
sign = "positive"

[event_types.held]
weight = 0.2
sign = "positive"

[event_types.increased]
weight = 0.5
sign = "positive"

[event_types.reduced]
weight = 0.1
sign = "positive"

[event_types.closed]
weight = 1.0
sign = "neutral"

[modalities.sector]
kind = "categorical"
source = "sector"

[modalities.country]
kind = "categorical"
source = "country"
"""


def write_world(world: FundWorld, folder: Path) -> Path:
    """Write the world as a dataset folder with ``funds/``."""
    (folder / "funds").mkdir(parents=True, exist_ok=True)
    (folder / "dataset.toml").write_text(DATASET_TOML)
    world.companies.write_parquet(folder / "items.parquet")
    world.managers.select(user_id="fund_id").write_parquet(folder / "users.parquet")
    day_ms = 86_400_000
    world.positions.select(
        user_id="fund_id",
        item_id="company_id",
        timestamp=pl.col("filed").cast(pl.Int32).cast(pl.Int64) * day_ms,
        type="change",
        value=pl.col("share").cast(pl.Float32),
    ).write_parquet(folder / "interactions.parquet")
    world.positions.write_parquet(folder / "funds" / "positions.parquet")
    world.managers.write_parquet(folder / "funds" / "managers.parquet")
    return folder


def milliseconds(day: date) -> int:
    """Epoch ms at the start of a day, UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
