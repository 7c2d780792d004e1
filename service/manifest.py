"""The manifest of an artifact version: what was learned, from what, and which files hold it.

Part of the contract re-exported by ``service.artifact``.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from service.events import partition_name
from service.publishing.gate_report import GateReport

FORMAT_VERSION = 4

BlockKind = Literal["learned", "factors"]


def check_file_name(name: str) -> str:
    """Returns `name` if it is a plain relative POSIX path, else raises ValueError."""
    path = PurePosixPath(name)
    unsafe = not name or path.is_absolute() or ".." in path.parts or str(path) != name
    if unsafe or "\\" in name or "\x00" in name:
        raise ValueError(f"file name {name!r} must be a relative path inside the version folder")
    return name


@dataclass(frozen=True)
class BlockPart:
    """The next ``width`` columns of a block; ``modality`` is None for those that depend on none."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    modality: str | None
    width: Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Block:
    """One member's columns ``offset : offset + width`` of the common inner-product space.

    ``kind`` says how a user's part is made: ``learned`` rows are stored, ``factors`` rows are the
    sum of the block's item factors over the user's items and can be recomputed online.
    With ``zscore`` a raw user part u is scaled to ``weight * u / sqrt(u' C u)``, C being the
    covariance of the block's item vectors; without it to ``weight * u``.
    ``parts`` say which modality a column belongs to; none where a member mixes modalities.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    kind: BlockKind
    offset: Annotated[int, Field(ge=0)]
    width: Annotated[int, Field(ge=1)]
    weight: Annotated[float, Field(allow_inf_nan=False)]
    zscore: bool
    parts: tuple[BlockPart, ...] = ()

    @property
    def columns(self) -> slice:
        """The block's columns."""
        return slice(self.offset, self.offset + self.width)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetRef(_Strict):
    """The data set an artifact was learned from."""

    name: str
    fingerprint: str


class Member(_Strict):
    """One trained model of the ensemble. ``metrics`` are its validation metrics."""

    model: str
    params: dict[str, JsonValue] = {}
    seed: int | None = None
    weight: float = 1.0
    metrics: dict[str, JsonValue] = {}


class EncoderRef(_Strict):
    """What made a modality's vectors of the texts in a metadata column; see `TextEncoder`."""

    name: str
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    column: str


class FileEntry(_Strict):
    """Size and SHA-256 (hex) of one file."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size_bytes: Annotated[int, Field(ge=0)]


class TensorEntry(_Strict):
    """Shape and numpy dtype name of one tensor; its name is ``<file>:<tensor>``."""

    shape: tuple[int, ...]
    dtype: str


class ManifestModel(_Strict):
    """``manifest.json``; unknown keys are errors.

    ``watermark`` maps a stream partition to the last stream id the data contained, and under
    `erasures_name` to the last erasure it knew of. ``metrics`` has one entry per split
    (``validation``, ``test``). ``recipe`` is what retraining needs to repeat the run; its
    ``event_types`` table, if present, tells the service the sign of each event type.
    ``category_fields`` are the metadata columns whose values are categories. Format 2 added these
    and the optional files ``popularity.safetensors`` and ``content.safetensors``. Format 3 added
    ``gate``, what a retraining's gate found; it is None for what was published by hand. Format 4
    added ``parts`` of blocks, and ``encoders`` by modality.
    Catalogs of fund companies have ``funds.safetensors`` and ``funds.json``.
    """

    format_version: Literal[1, 2, 3, 4] = 4
    catalog: str
    version: str
    created_at: AwareDatetime
    dataset: DatasetRef
    watermark: dict[str, str] = {}
    split: str
    members: tuple[Member, ...]
    blocks: tuple[Block, ...]
    metrics: dict[str, dict[str, JsonValue]] = {}
    ensemble: str
    commit: str | None = None
    recipe: dict[str, JsonValue] = {}
    category_fields: tuple[str, ...] = ()
    encoders: dict[str, EncoderRef] = {}
    gate: GateReport | None = None
    files: dict[Annotated[str, AfterValidator(check_file_name)], FileEntry]
    tensors: dict[str, TensorEntry]


def erasures_name(partition: int) -> str:
    """Where a watermark says which tombstone of a partition was the last to be carried out."""
    return f"{partition_name(partition)}-erased"
