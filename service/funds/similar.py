"""How alike funds are: by what they hold, or to the models."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.funds.book import FundBook
from service.snapshot import Snapshot

By = Literal["portfolio", "learned"]
_TINY = 1e-12


def by_portfolio(book: FundBook, fund_row: int) -> NDArray[np.float64]:
    """Cosines [U] of the portfolio shares of every active fund to those of one; 0 for the rest."""
    facts, current = book.facts, book.current
    own = _shares(book, fund_row)
    shares, funds = facts.portfolio_shares[current], facts.fund_rows[current]
    products = np.bincount(
        funds, shares * own[facts.company_rows[current]], minlength=book.num_users
    )
    lengths = np.sqrt(np.bincount(funds, shares**2, minlength=book.num_users))
    cosines: NDArray[np.float64] = products / np.maximum(
        lengths * float(np.linalg.norm(own)), _TINY
    )
    return cosines


def by_vectors(snapshot: Snapshot, fund_row: int) -> NDArray[np.float64]:
    """Means [U] of the members' cosines by their weights; a fund without a vector is like none."""
    users, blocks = snapshot.artifact.users, snapshot.artifact.blocks
    total = sum(abs(block.weight) for block in blocks) or 1.0
    similarities = np.zeros(len(users))
    for block in blocks:
        part = users[:, block.columns].astype(np.float64)
        part /= np.maximum(np.linalg.norm(part, axis=1, keepdims=True), _TINY)
        similarities += abs(block.weight) / total * (part @ part[fund_row])
    return similarities


def overlaps(book: FundBook, fund_row: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What every active fund [U] has in common with one.

    Returns:
        The part of the portfolios that is the same (the sum of the smaller shares, 0 to 1), and the
        number of companies that both hold.
    """
    facts, current = book.facts, book.current
    own = _shares(book, fund_row)
    held = np.zeros(book.num_items, np.bool_)
    held[book.held_companies(fund_row)] = True
    companies, funds = facts.company_rows[current], facts.fund_rows[current]
    smaller = np.minimum(facts.portfolio_shares[current], own[companies])
    common = np.bincount(funds, held[companies], minlength=book.num_users)
    parts = np.bincount(funds, smaller, minlength=book.num_users).astype(np.float64)
    return parts, common.astype(np.int64)


def _shares(book: FundBook, fund_row: int) -> NDArray[np.float64]:
    """The fund's portfolio share of every company [I]."""
    positions = book.holdings(fund_row)
    shares = np.zeros(book.num_items)
    shares[book.facts.company_rows[positions]] = book.facts.portfolio_shares[positions]
    return shares
