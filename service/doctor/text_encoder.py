"""Whether texts that are given with items can be encoded."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from service.artifact import EncoderRef, current_version, read_manifest
from service.doctor.finding import Finding
from service.encoding.encoder import TextEncoder
from service.errors import ArtifactError, EncoderUnavailable
from service.settings import Settings

_CHECK = "text encoder"


def check_encoder(settings: Settings, catalogs: Sequence[str]) -> Finding:
    """Whether there is an encoder where one is wanted, and whether it is the catalogs' own.

    Args:
        settings: the service's.
        catalogs: those that are served.
    """
    wanted = _wanted(settings.artifacts, catalogs)
    if settings.text_encoder is None:
        if not wanted:
            return Finding(_CHECK, "ok", "none, and no catalog's vectors are made of texts")
        names = ", ".join(sorted({one.name for one in wanted.values()}))
        return Finding(
            _CHECK,
            "warning",
            f"none: texts given with items are refused, though {', '.join(wanted)} could take them",
            f"set MUTUALREC_TEXT_ENCODER to the folder of {names}",
        )
    try:
        encoder = TextEncoder.load(settings.text_encoder)
    except EncoderUnavailable as error:
        return Finding(
            _CHECK, "error", str(error), "correct MUTUALREC_TEXT_ENCODER, or leave it out"
        )
    others = [place for place, one in wanted.items() if one.digest != encoder.digest]
    if others:
        return Finding(
            _CHECK,
            "warning",
            f"{settings.text_encoder} is another one than the vectors of {', '.join(others)} are"
            " from: texts are refused there",
            "set MUTUALREC_TEXT_ENCODER to that one's folder, or run `mutualrec encode`, train and"
            " publish",
        )
    return Finding(_CHECK, "ok", f"{encoder.name}, {encoder.width} numbers per text")


def _wanted(root: Path, catalogs: Sequence[str]) -> Mapping[str, EncoderRef]:
    """The encoders of all catalogs, by catalog and modality; damage is another check's."""
    found: dict[str, EncoderRef] = {}
    for catalog in catalogs:
        try:
            version = current_version(root, catalog)
            encoders = {} if version is None else read_manifest(root, catalog, version).encoders
        except ArtifactError:
            continue
        found |= {f"{catalog}/{modality}": one for modality, one in encoders.items()}
    return found
