"""Rules of one request: filters, boosts, bury, caps, include and exclude lists, diversity."""

from service.rules.ranking import rank
from service.rules.rules import Boost, Cap, Rules

__all__ = ["Boost", "Cap", "Rules", "rank"]
