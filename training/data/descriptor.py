"""``dataset.toml``: the typed head of a dataset folder, read strictly and written by hand.

Example::

    format_version = 1
    name = "demo"

    [event_types.purchase]
    weight = 1.0
    sign = "positive"
    half_life_days = 90.0

    [modalities.image]
    kind = "dense"
    source = "features/image.npy"
"""

import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from training.errors import SchemaError

Sign = Literal["positive", "neutral", "negative"]
Kind = Literal["dense", "categorical", "text", "image"]

FORMAT_VERSION = 1
_DATASET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MODALITY_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_ENCODER = re.compile(r".+@[0-9a-f]{64}")
_TOP_KEYS = ("format_version", "name", "event_types", "modalities")


@dataclass(frozen=True)
class EventType:
    """How one type of event counts.

    Attributes:
        weight: Strength of one event, finite and >= 0.
        sign: Only ``positive`` events make training pairs; ``negative`` ones mean dislike.
        half_life_days: Days after which an event counts half; None = never fades.
    """

    weight: float = 1.0
    sign: Sign = "positive"
    half_life_days: float | None = None


@dataclass(frozen=True)
class ModalitySpec:
    """Where one modality comes from.

    Attributes:
        kind: ``dense``: vectors only. ``categorical``: a column of items.parquet. ``text`` and
            ``image``: a column of items.parquet (the text, the file or URL) that an encoder turns
            into vectors; ``features/<modality>.npy`` is used when it is there.
        source: Path of the ``.npy`` inside the folder (dense) or a column of items.parquet.
        neighbours: Optional path of an ``.npz`` inside the folder with published nearest
            neighbours (arrays ``indices`` and ``similarities``).
        encoder: What made the vectors of a text modality: ``<name>@<digest>`` of a `TextEncoder`.
    """

    kind: Kind
    source: str
    neighbours: str | None = None
    encoder: str | None = None


@dataclass(frozen=True)
class Descriptor:
    """Content of ``dataset.toml``: the data set's name, event types and modalities by name."""

    name: str
    event_types: dict[str, EventType]
    modalities: dict[str, ModalitySpec]


def read_descriptor(path: Path) -> Descriptor:
    """Read and check ``dataset.toml``.

    Raises:
        SchemaError: The file is missing, is not TOML, or has an unknown key or a bad value.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SchemaError(
            f"{path} does not exist, so {path.parent} is not a dataset folder; create one with "
            f"`mutualrec import mmrec|movielens|csv|demo ... {path.parent}`"
        ) from error
    except UnicodeDecodeError as error:
        raise SchemaError(f"{path} is not UTF-8 text: {error}; write it again") from error
    try:
        document = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise SchemaError(f"{path} is not valid TOML: {error}; correct that line") from error
    return parse_descriptor(document, str(path))


def parse_descriptor(document: Mapping[str, object], where: str) -> Descriptor:
    """Turn a parsed TOML document into a checked descriptor.

    Args:
        document: Result of ``tomllib``.
        where: Name of the file for error messages.

    Raises:
        SchemaError: Unknown key, missing key, wrong type or value out of range.
    """
    _refuse_unknown(document, _TOP_KEYS, where)
    version = document.get("format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise SchemaError(
            f"{where}: format_version is {version!r}, this program reads {FORMAT_VERSION}; "
            "update the program or import the data again"
        )
    name = document.get("name")
    if not isinstance(name, str):
        raise SchemaError(f'{where}: name is {name!r}; add a line such as name = "shop"')
    descriptor = Descriptor(
        name=name,
        event_types={
            key: _event_type(table, f"{where}: [event_types.{key}]")
            for key, table in _tables(document, "event_types", where).items()
        },
        modalities={
            key: _modality(table, f"{where}: [modalities.{key}]")
            for key, table in _tables(document, "modalities", where).items()
        },
    )
    check_descriptor(descriptor, where)
    return descriptor


def check_descriptor(descriptor: Descriptor, where: str) -> None:
    """Check names, ranges and paths of a descriptor.

    Raises:
        SchemaError: The first rule that is broken, with its value.
    """
    if not _DATASET_NAME.fullmatch(descriptor.name):
        raise SchemaError(
            f"{where}: name {descriptor.name!r} must start with a letter or digit and hold only "
            "letters, digits, '.', '_' and '-'; it becomes part of folder names"
        )
    if not descriptor.event_types:
        raise SchemaError(f"{where}: no event types; add a table such as [event_types.click]")
    for key, event_type in descriptor.event_types.items():
        _check_event_type(event_type, f"{where}: [event_types.{key}]")
    for key, spec in descriptor.modalities.items():
        if not _MODALITY_NAME.fullmatch(key):
            raise SchemaError(
                f"{where}: modality name {key!r} must hold only a-z, 0-9, '_' and '-'; "
                "it becomes a file name"
            )
        _check_modality(spec, f"{where}: [modalities.{key}]")


def render_descriptor(descriptor: Descriptor) -> str:
    """TOML text that `parse_descriptor` reads back to an equal descriptor."""
    lines = [f"format_version = {FORMAT_VERSION}", f"name = {_toml_string(descriptor.name)}"]
    groups: dict[str, Mapping[str, EventType | ModalitySpec]] = {
        "event_types": descriptor.event_types,
        "modalities": descriptor.modalities,
    }
    for group, entries in groups.items():
        for key, entry in entries.items():
            lines += ["", f"[{group}.{_toml_key(key)}]"]
            for field in fields(entry):
                value: str | float | None = getattr(entry, field.name)
                if value is not None:
                    lines.append(f"{field.name} = {_toml_value(value)}")
    return "\n".join(lines) + "\n"


def _refuse_unknown(table: Mapping[str, object], known: tuple[str, ...], where: str) -> None:
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise SchemaError(f"{where}: unknown key {unknown[0]!r}; known keys are {', '.join(known)}")


def _tables(
    document: Mapping[str, object], key: str, where: str
) -> dict[str, Mapping[str, object]]:
    group = document.get(key, {})
    if not isinstance(group, dict) or not all(isinstance(table, dict) for table in group.values()):
        raise SchemaError(f"{where}: {key} must be tables, written as [{key}.<name>]")
    return group


def _event_type(table: Mapping[str, object], where: str) -> EventType:
    _refuse_unknown(table, ("weight", "sign", "half_life_days"), where)
    half_life = table.get("half_life_days")
    return EventType(
        weight=_number(table.get("weight", 1.0), f"{where} weight"),
        sign=_choice(table.get("sign", "positive"), f"{where} sign"),
        half_life_days=None if half_life is None else _number(half_life, f"{where} half_life_days"),
    )


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SchemaError(f"{where} is {value!r}; write a number")
    return float(value)


def _choice(value: object, where: str) -> Sign:
    for sign in get_args(Sign):
        if value == sign:
            checked: Sign = sign
            return checked
    raise SchemaError(f"{where} is {value!r}; choose one of {', '.join(get_args(Sign))}")


def _modality(table: Mapping[str, object], where: str) -> ModalitySpec:
    _refuse_unknown(table, ("kind", "source", "neighbours", "encoder"), where)
    kind, source, neighbours = table.get("kind"), table.get("source"), table.get("neighbours")
    if kind not in get_args(Kind):
        raise SchemaError(f"{where} kind is {kind!r}; choose one of {', '.join(get_args(Kind))}")
    if not isinstance(source, str) or not isinstance(neighbours, str | None):
        raise SchemaError(f"{where} source is {source!r}, neighbours {neighbours!r}; write text")
    encoder = table.get("encoder")
    if encoder is not None and not (isinstance(encoder, str) and _ENCODER.fullmatch(encoder)):
        raise SchemaError(
            f"{where} encoder is {encoder!r}; `mutualrec encode` writes it as <name>@<digest>"
        )
    checked: Kind = kind  # type: ignore[assignment]  # narrowed by the membership test above
    return ModalitySpec(checked, source, neighbours, encoder)


def _check_event_type(event_type: EventType, where: str) -> None:
    if not (math.isfinite(event_type.weight) and event_type.weight >= 0):
        raise SchemaError(f"{where} weight is {event_type.weight}; use a finite number >= 0")
    half_life = event_type.half_life_days
    if half_life is not None and not (math.isfinite(half_life) and half_life > 0):
        raise SchemaError(f"{where} half_life_days is {half_life}; use days > 0 or leave it out")


def _check_modality(spec: ModalitySpec, where: str) -> None:
    paths = [spec.neighbours] if spec.neighbours is not None else []
    if spec.kind == "dense":
        paths.append(spec.source)
    for path in paths:
        parts = PurePosixPath(path).parts
        if not path or path.startswith("/") or ".." in parts or "\\" in path:
            raise SchemaError(
                f"{where} points to {path!r}; use a path inside the folder, features/<name>.npy"
            )


def _toml_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _toml_string(key)


def _toml_value(value: str | float) -> str:
    return _toml_string(value) if isinstance(value, str) else repr(float(value))


def _toml_string(text: str) -> str:
    # JSON escapes are TOML escapes, except that TOML also wants DEL escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
