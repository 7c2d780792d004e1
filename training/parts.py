"""Which columns of a model's vectors belong to which modality."""

from dataclasses import dataclass

import torch

from models.inputs import Embeddings
from models.recommender import Recommender


@dataclass(frozen=True)
class Part:
    """The next `width` columns; `modality` is None for those that depend on none."""

    modality: str | None
    width: int


@torch.no_grad()
def parts_of(model: Recommender, vectors: Embeddings) -> tuple[Part, ...]:
    """Return the columns' owners in order; nothing for a model that mixes modalities in them.

    Args:
        model: It names the owners of its components.
        vectors: Its vectors, of which the components must be the columns.
    """
    owners = model.component_owners()
    if owners is None:
        return ()
    components = model.components()
    users = torch.cat([part.users for part in components], -1)
    items = torch.cat([part.items for part in components], -1)
    # Components may share columns, or be added to each other.
    if users.shape != vectors.users.shape or items.shape != vectors.items.shape:
        return ()
    if not (torch.allclose(users, vectors.users) and torch.allclose(items, vectors.items)):
        return ()
    widths = [part.items.shape[1] for part in components]
    return tuple(Part(owner, width) for owner, width in zip(owners, widths, strict=True))
