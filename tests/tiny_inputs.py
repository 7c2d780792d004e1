"""Inputs small enough for a test, and a few training steps on them."""

import torch

from models.inputs import Batch, Inputs
from models.item_graph import knn
from models.recommender import Recommender

NUM_USERS, NUM_ITEMS = 30, 24


def random_inputs(
    modalities: dict[str, int] | None = None, *, num_users: int = NUM_USERS
) -> Inputs:
    """User 0 and item 0 are isolated; everyone else has a few random pairs."""
    generator = torch.Generator().manual_seed(7)
    chosen = torch.rand(num_users, NUM_ITEMS, generator=generator) < 0.25
    chosen[0], chosen[:, 0] = False, False
    chosen[torch.arange(1, num_users), 1 + torch.arange(1, num_users) % (NUM_ITEMS - 1)] = True
    widths = {"image": 12, "text": 8} if modalities is None else modalities
    features = {
        name: torch.randn(NUM_ITEMS, width, generator=generator) for name, width in widths.items()
    }
    return Inputs(
        num_users,
        NUM_ITEMS,
        chosen.nonzero().T.contiguous(),
        features,
        {name: knn(matrix, 5) for name, matrix in features.items()},
    )


def checkerboard(size: int = 40) -> Inputs:
    """User u has every item of u's parity but item u itself, which a model must find.

    Features say nothing: they are noise.
    """
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    has = ((rows + columns) % 2 == 0) & (rows != columns)
    generator = torch.Generator().manual_seed(3)
    features = {name: torch.randn(size, 6, generator=generator) for name in ("image", "text")}
    return Inputs(
        size,
        size,
        has.nonzero().T.contiguous(),
        features,
        {name: knn(matrix, 5) for name, matrix in features.items()},
    )


def batch_of(inputs: Inputs, seed: int = 0, size: int = 32) -> Batch:
    """Random training pairs, each with one item that its user does not have."""
    generator = torch.Generator().manual_seed(seed)
    picked = torch.randint(inputs.edge_index.shape[1], (size,), generator=generator)
    users, positives = inputs.edge_index[:, picked]
    has = torch.zeros(inputs.num_users, inputs.num_items, dtype=torch.bool)
    has[inputs.edge_index[0], inputs.edge_index[1]] = True
    negatives = torch.multinomial((~has[users]).float(), 1, generator=generator)
    return Batch(users, positives, negatives, torch.Generator().manual_seed(seed))


def learn(
    model: Recommender, inputs: Inputs, steps: int, learning_rate: float = 0.02
) -> list[float]:
    """Take Adam steps on random batches; returns the total loss of each."""
    optimizer = torch.optim.Adam(model.parameters(), learning_rate)
    losses = []
    model.train()
    for step in range(steps):
        if step % 10 == 0:
            model.refresh(step // 10, torch.Generator().manual_seed(step))
        total = torch.stack(list(model.loss(batch_of(inputs, step, 256)).values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(float(total.detach()))
    model.eval()
    return losses


def unreached(model: Recommender, batch: Batch) -> list[str]:
    """Names of the parameters that a batch's loss gives no gradient."""
    model.train()
    torch.stack(list(model.loss(batch).values())).sum().backward()
    return [n for n, p in model.named_parameters() if p.grad is None or not bool(p.grad.any())]
