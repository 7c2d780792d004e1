"""Parts of the client that waits: items, versions, experiments, funds, companies."""

from collections.abc import Sequence
from typing import Protocol, TypeVar, Unpack

from mutualrec.client import admin_calls, calls, fund_calls
from mutualrec.client.admin_calls import CapacityOptions, DayOptions, PruneOptions
from mutualrec.client.call import Call
from mutualrec.client.calls import Features, Metadata, Texts
from mutualrec.client.experiments import Arm, Experiment, ExperimentReport, ExperimentReports
from mutualrec.client.options import (
    FundOptions,
    InCatalog,
    InvestmentOptions,
    InvestorOptions,
    PageOptions,
    SimilarFundOptions,
    TrendOptions,
)
from service.erasure.schemas import UserData, UserErased
from service.funds.schemas import (
    CompaniesResponse,
    CompanyResponse,
    FundResponse,
    FundsResponse,
    InvestmentsResponse,
    InvestorsResponse,
    SimilarFundsResponse,
    TrendsResponse,
)
from service.publishing.schemas import Moved, Pruned, VersionDifference, VersionList
from service.scheduling.schemas import Asked, TrainingStatus
from service.schemas import CapacityResponse, ItemResponse

T = TypeVar("T")


class Do(Protocol):
    """Does a call."""

    def __call__(self, call: Call[T], /) -> T:
        """The answer."""
        ...


class _Group:
    def __init__(self, do: Do) -> None:
        """Calls are done by `do`."""
        self._do = do


class Items(_Group):
    """Adding, changing and removing items."""

    def get(self, item_id: str, **options: Unpack[InCatalog]) -> ItemResponse:
        """What the catalog says of an item."""
        return self._do(calls.get_item(item_id, options))

    def put(
        self,
        item_id: str,
        *,
        metadata: Metadata | None = None,
        features: Features | None = None,
        texts: Texts | None = None,
        hidden: bool = False,
        **options: Unpack[InCatalog],
    ) -> ItemResponse:
        """Adds or replaces an item; it is recommendable at once if it resembles known ones."""
        body = {"metadata": metadata, "features": features, "texts": texts, "hidden": hidden}
        return self._do(calls.put_item(item_id, body, options))

    def patch(
        self,
        item_id: str,
        *,
        metadata: Metadata | None = None,
        features: Features | None = None,
        texts: Texts | None = None,
        hidden: bool | None = None,
        **options: Unpack[InCatalog],
    ) -> ItemResponse:
        """Changes what is given; not sent again when there is no reply."""
        body = {"metadata": metadata, "features": features, "texts": texts, "hidden": hidden}
        return self._do(calls.patch_item(item_id, body, options))

    def delete(self, item_id: str, **options: Unpack[InCatalog]) -> None:
        """Takes an item out of all lists; not sent again when there is no reply."""
        return self._do(calls.delete_item(item_id, options))


class Users(_Group):
    """What is known of users; needs a key with the scope admin."""

    def export(self, user_id: str, **options: Unpack[InCatalog]) -> UserData:
        """What the service knows of a user."""
        return self._do(calls.export_user(user_id, options))

    def erase(self, user_id: str, **options: Unpack[InCatalog]) -> UserErased:
        """Forgets everything about a user up to now."""
        return self._do(calls.erase_user(user_id, options))


class Versions(_Group):
    """The versions of a catalog; needs a key with the scope admin."""

    def list(self, **options: Unpack[InCatalog]) -> VersionList:
        """Every version with its metrics and what the gate found."""
        return self._do(admin_calls.versions(options))

    def diff(self, old: str, new: str, **options: Unpack[InCatalog]) -> VersionDifference:
        """Metrics, data and settings in which `new` differs from `old`."""
        return self._do(admin_calls.diff(old, new, options))

    def promote(self, version: str, **options: Unpack[InCatalog]) -> Moved:
        """Makes a version current."""
        return self._do(admin_calls.promote(version, options))

    def rollback(self, **options: Unpack[InCatalog]) -> Moved:
        """Makes the version before current; not sent again when there is no reply."""
        return self._do(admin_calls.rollback(options))

    def pin(self, version: str, **options: Unpack[InCatalog]) -> Moved:
        """Makes a version current and keeps it so."""
        return self._do(admin_calls.pin(version, options))

    def unpin(self, **options: Unpack[InCatalog]) -> Moved:
        """Lets the catalog follow retrainings again."""
        return self._do(admin_calls.unpin(options))

    def prune(self, keep: int, **options: Unpack[PruneOptions]) -> Pruned:
        """Deletes all but the newest `keep` versions; not sent again when there is no reply."""
        return self._do(admin_calls.prune(keep, options))

    def capacity(self, events_per_day: int, **options: Unpack[CapacityOptions]) -> CapacityResponse:
        """The memory that so many events need, for the users and items there are or others."""
        return self._do(admin_calls.capacity(events_per_day, options))

    def train(self, **options: Unpack[InCatalog]) -> Asked:
        """Asks a scheduler to train now."""
        return self._do(admin_calls.train(options))

    def training(self, **options: Unpack[InCatalog]) -> TrainingStatus:
        """Who trains now, how the newest run ended, when the next is due."""
        return self._do(admin_calls.training(options))


class Experiments(_Group):
    """Experiments of a catalog; needs a key with the scope admin."""

    def list(self, **options: Unpack[DayOptions]) -> ExperimentReports:
        """Every experiment with what became of each arm's recommendations."""
        return self._do(admin_calls.experiments(options))

    def get(self, name: str, **options: Unpack[DayOptions]) -> ExperimentReport:
        """One experiment, its arms compared."""
        return self._do(admin_calls.experiment(name, options))

    def put(
        self,
        name: str,
        arms: Sequence[Arm],
        *,
        description: str = "",
        running: bool = True,
        **options: Unpack[InCatalog],
    ) -> Experiment:
        """Starts an experiment, or stops it with ``running=False``."""
        call = admin_calls.put_experiment(name, arms, description, options, running=running)
        return self._do(call)

    def delete(self, name: str, **options: Unpack[InCatalog]) -> None:
        """Stops and forgets an experiment; not sent again when there is no reply."""
        return self._do(admin_calls.delete_experiment(name, options))


class Funds(_Group):
    """Fund companies."""

    def find(self, text: str | None = None, **options: Unpack[PageOptions]) -> FundsResponse:
        """Funds by name, CIK or id; without a text all, the largest first."""
        return self._do(fund_calls.find_funds(text, options))

    def get(self, fund_id: str, **options: Unpack[FundOptions]) -> FundResponse:
        """What a fund holds, its sectors, and every quarter it reported."""
        return self._do(fund_calls.fund(fund_id, options))

    def investments(
        self, fund_id: str, **options: Unpack[InvestmentOptions]
    ) -> InvestmentsResponse:
        """Where a fund may invest next, with reasons, under rules of suitability."""
        return self._do(fund_calls.investments(fund_id, options))

    def similar(self, fund_id: str, **options: Unpack[SimilarFundOptions]) -> SimilarFundsResponse:
        """Funds like a fund."""
        return self._do(fund_calls.similar_funds(fund_id, options))

    def trends(self, **options: Unpack[TrendOptions]) -> TrendsResponse:
        """Companies and sectors that the most funds are expected to enter next."""
        return self._do(fund_calls.trends(options))


class Companies(_Group):
    """Listed companies."""

    def find(self, text: str, **options: Unpack[PageOptions]) -> CompaniesResponse:
        """Companies by name or id."""
        return self._do(fund_calls.find_companies(text, options))

    def get(self, company_id: str, **options: Unpack[InCatalog]) -> CompanyResponse:
        """What is known of a company, and its history among the funds."""
        return self._do(fund_calls.company(company_id, options))

    def investors(self, company_id: str, **options: Unpack[InvestorOptions]) -> InvestorsResponse:
        """Who holds a company, and who may enter next."""
        return self._do(fund_calls.investors(company_id, options))
