"""Everything the offline side raises on purpose.

* DataError (ValueError): a dataset, an import or a split is not what it must be
  x SchemaError: a file, column, key or value breaks the dataset folder's schema
  x FeatureMismatch: features and items do not fit together (rows, shape, NaN, dtype)
  x SplitLeakage: something tried to look at held-out pairs a second time
  x SegmentDamaged: a file of the event log cannot be read
* TrainingDiverged (RuntimeError): a loss term or a parameter stopped being finite
* RetrainingBusy (RuntimeError): another process is retraining the catalog
* QualityGateFailed (RuntimeError): a candidate is worse than the version that is live
* NotServable (RuntimeError): a trained model cannot be written as an artifact
* UnknownModel (LookupError): no model has this name; lists the ones that exist
* UnknownStrategy (LookupError): no training strategy has this name; lists the ones that exist
* InvalidParams (ValueError): parameters of a model or strategy have an unknown name or wrong value

Every message says what was wrong, with which values, and what to do about it.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar


class DataError(ValueError):
    """Data that cannot be used as it is. The message names the file, the place and the fix."""


class SchemaError(DataError):
    """A dataset folder, a source file or an event breaks the documented schema."""


class FeatureMismatch(DataError):
    """Features do not fit the items: row count, shape, dtype, infinite or partly missing rows."""


class SplitLeakage(DataError):
    """Held-out pairs would be seen twice, so the published number would be optimistic."""


class SegmentDamaged(DataError):
    """A file of the event log is not what was written; the message names it."""


class TrainingDiverged(RuntimeError):
    """Training produced a value that is not finite; nothing after it can be trusted.

    Attributes:
        epoch: Epoch, counted from 0.
        batch: Batch within the epoch, counted from 0.
        terms: Every named loss term of that batch.
    """

    def __init__(self, epoch: int, batch: int, terms: Mapping[str, float]) -> None:
        self.epoch = epoch
        self.batch = batch
        self.terms = dict(terms)
        values = ", ".join(f"{name}={value:g}" for name, value in self.terms.items())
        super().__init__(
            f"training diverged in epoch {epoch}, batch {batch}: {values}; "
            "lower the learning rate, raise the temperature or check the features"
        )


class RetrainingBusy(RuntimeError):
    """Another process is retraining the catalog; the message says which."""


class QualityGateFailed(RuntimeError):
    """The candidate is not good enough to replace the live version.

    Attributes:
        reason: The check that failed, in one sentence.
        candidate: The candidate's metrics by name.
        live: The live version's metrics by name.
    """

    def __init__(
        self, reason: str, *, candidate: Mapping[str, float], live: Mapping[str, float]
    ) -> None:
        self.reason = reason
        self.candidate = dict(candidate)
        self.live = dict(live)
        shown = ", ".join(
            f"{name} {value:.4f} (live {self.live[name]:.4f})"
            if name in self.live
            else f"{name} {value:.4f}"
            for name, value in self.candidate.items()
        )
        super().__init__(f"{reason}: candidate {shown}; the live version keeps serving")


class NotServable(RuntimeError):
    """A model's result cannot be expressed as user and item vectors of one artifact."""


class _UnknownName(LookupError):
    """Nothing is registered under this name.

    Attributes:
        name: The name that was asked for.
        choices: The names that exist, sorted.
    """

    kind: ClassVar[str]

    def __init__(self, name: str, choices: Iterable[str]) -> None:
        self.name = name
        self.choices = tuple(sorted(choices))
        super().__init__(f"unknown {self.kind} {name!r}; choose one of: {', '.join(self.choices)}")


class UnknownModel(_UnknownName):
    """No model is registered under this name."""

    kind = "model"


class UnknownStrategy(_UnknownName):
    """No training strategy is registered under this name."""

    kind = "training strategy"


class InvalidParams(ValueError):
    """Parameters of a model or a strategy cannot be used; names each and lists the known."""
