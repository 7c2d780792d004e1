"""Parts of the asynchronous client: items, versions, experiments, funds, companies."""

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


class AsyncDo(Protocol):
    """Does a call."""

    async def __call__(self, call: Call[T], /) -> T:
        """The answer."""
        ...


class _Group:
    def __init__(self, do: AsyncDo) -> None:
        """Calls are done by `do`."""
        self._do = do


class AsyncItems(_Group):
    """Adding, changing and removing items."""

    async def get(self, item_id: str, **options: Unpack[InCatalog]) -> ItemResponse:
        """What the catalog says of an item."""
        return await self._do(calls.get_item(item_id, options))

    async def put(
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
        return await self._do(calls.put_item(item_id, body, options))

    async def patch(
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
        return await self._do(calls.patch_item(item_id, body, options))

    async def delete(self, item_id: str, **options: Unpack[InCatalog]) -> None:
        """Takes an item out of all lists; not sent again when there is no reply."""
        return await self._do(calls.delete_item(item_id, options))


class AsyncUsers(_Group):
    """What is known of users; needs a key with the scope admin."""

    async def export(self, user_id: str, **options: Unpack[InCatalog]) -> UserData:
        """What the service knows of a user."""
        return await self._do(calls.export_user(user_id, options))

    async def erase(self, user_id: str, **options: Unpack[InCatalog]) -> UserErased:
        """Forgets everything about a user up to now."""
        return await self._do(calls.erase_user(user_id, options))


class AsyncVersions(_Group):
    """The versions of a catalog; needs a key with the scope admin."""

    async def list(self, **options: Unpack[InCatalog]) -> VersionList:
        """Every version with its metrics and what the gate found."""
        return await self._do(admin_calls.versions(options))

    async def diff(self, old: str, new: str, **options: Unpack[InCatalog]) -> VersionDifference:
        """Metrics, data and settings in which `new` differs from `old`."""
        return await self._do(admin_calls.diff(old, new, options))

    async def promote(self, version: str, **options: Unpack[InCatalog]) -> Moved:
        """Makes a version current."""
        return await self._do(admin_calls.promote(version, options))

    async def rollback(self, **options: Unpack[InCatalog]) -> Moved:
        """Makes the version before current; not sent again when there is no reply."""
        return await self._do(admin_calls.rollback(options))

    async def pin(self, version: str, **options: Unpack[InCatalog]) -> Moved:
        """Makes a version current and keeps it so."""
        return await self._do(admin_calls.pin(version, options))

    async def unpin(self, **options: Unpack[InCatalog]) -> Moved:
        """Lets the catalog follow retrainings again."""
        return await self._do(admin_calls.unpin(options))

    async def prune(self, keep: int, **options: Unpack[PruneOptions]) -> Pruned:
        """Deletes all but the newest `keep` versions; not sent again when there is no reply."""
        return await self._do(admin_calls.prune(keep, options))

    async def capacity(
        self, events_per_day: int, **options: Unpack[CapacityOptions]
    ) -> CapacityResponse:
        """The memory that so many events need, for the users and items there are or others."""
        return await self._do(admin_calls.capacity(events_per_day, options))

    async def train(self, **options: Unpack[InCatalog]) -> Asked:
        """Asks a scheduler to train now."""
        return await self._do(admin_calls.train(options))

    async def training(self, **options: Unpack[InCatalog]) -> TrainingStatus:
        """Who trains now, how the newest run ended, when the next is due."""
        return await self._do(admin_calls.training(options))


class AsyncExperiments(_Group):
    """Experiments of a catalog; needs a key with the scope admin."""

    async def list(self, **options: Unpack[DayOptions]) -> ExperimentReports:
        """Every experiment with what became of each arm's recommendations."""
        return await self._do(admin_calls.experiments(options))

    async def get(self, name: str, **options: Unpack[DayOptions]) -> ExperimentReport:
        """One experiment, its arms compared."""
        return await self._do(admin_calls.experiment(name, options))

    async def put(
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
        return await self._do(call)

    async def delete(self, name: str, **options: Unpack[InCatalog]) -> None:
        """Stops and forgets an experiment; not sent again when there is no reply."""
        return await self._do(admin_calls.delete_experiment(name, options))


class AsyncFunds(_Group):
    """Fund companies."""

    async def find(self, text: str | None = None, **options: Unpack[PageOptions]) -> FundsResponse:
        """Funds by name, CIK or id; without a text all, the largest first."""
        return await self._do(fund_calls.find_funds(text, options))

    async def get(self, fund_id: str, **options: Unpack[FundOptions]) -> FundResponse:
        """What a fund holds, its sectors, and every quarter it reported."""
        return await self._do(fund_calls.fund(fund_id, options))

    async def investments(
        self, fund_id: str, **options: Unpack[InvestmentOptions]
    ) -> InvestmentsResponse:
        """Where a fund may invest next, with reasons, under rules of suitability."""
        return await self._do(fund_calls.investments(fund_id, options))

    async def similar(
        self, fund_id: str, **options: Unpack[SimilarFundOptions]
    ) -> SimilarFundsResponse:
        """Funds like a fund."""
        return await self._do(fund_calls.similar_funds(fund_id, options))

    async def trends(self, **options: Unpack[TrendOptions]) -> TrendsResponse:
        """Companies and sectors that the most funds are expected to enter next."""
        return await self._do(fund_calls.trends(options))


class AsyncCompanies(_Group):
    """Listed companies."""

    async def find(self, text: str, **options: Unpack[PageOptions]) -> CompaniesResponse:
        """Companies by name or id."""
        return await self._do(fund_calls.find_companies(text, options))

    async def get(self, company_id: str, **options: Unpack[InCatalog]) -> CompanyResponse:
        """What is known of a company, and its history among the funds."""
        return await self._do(fund_calls.company(company_id, options))

    async def investors(
        self, company_id: str, **options: Unpack[InvestorOptions]
    ) -> InvestorsResponse:
        """Who holds a company, and who may enter next."""
        return await self._do(fund_calls.investors(company_id, options))
