"""The command that retrains on a schedule."""

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mutualrec.commands.serving import serving_settings
from mutualrec.options import DEFAULT_HOME, Home

if TYPE_CHECKING:
    from mutualrec.retraining.child import Ended, Limits

commands = typer.Typer()


@commands.command()
def scheduler(
    catalog: Annotated[
        list[str] | None,
        typer.Option(help="Catalog to train; repeatable. All published ones if none."),
    ] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Retrain on a schedule, after so many new events, and when POST /admin/train asks.

    The MUTUALREC_TRAIN_* variables say when, how long and how politely.
    """
    from mutualrec.retraining.child import Limits
    from mutualrec.retraining.scheduler import Scheduler
    from service.artifact import check_catalog, list_catalogs
    from service.scheduling.occasions import Occasions, Pauses
    from service.store.connection import connect_blocking

    logging.getLogger("mutualrec.retraining").setLevel(logging.INFO)
    given = [check_catalog(name) for name in catalog or []]
    with (
        serving_settings(home) as settings,
        connect_blocking(str(settings.redis_url)) as client,
    ):
        limits = Limits(
            max_s=settings.train_max_s,
            grace_s=settings.train_grace_s,
            nice=settings.train_nice,
            cores=settings.train_cores,
        )
        Scheduler(
            settings,
            Occasions(client, settings.train_after_events),
            Pauses(),
            lambda: given or list_catalogs(settings.artifacts),
            partial(_train, home=home, limits=limits),
        ).run()


def _train(catalog: str, *, home: Path, limits: "Limits") -> "Ended":
    from mutualrec.retraining.child import retrain_command, run_limited

    return run_limited(retrain_command(catalog, home), limits)
