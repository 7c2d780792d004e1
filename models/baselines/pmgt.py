"""PMGT: item vectors by a transformer over each item's neighbourhood, taught to reconstruct it."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, layer_norm, linear, logsigmoid, normalize

from models.co_occurrence import co_occurrence
from models.contexts import Contexts, ContextSampler
from models.features import Projection, projections
from models.inputs import ALL, Batch, Embeddings, Inputs, Keep
from models.losses import bpr, distinct_rows, l2
from models.params import Count, Params, Share, Weight, item_table, user_table, xavier
from models.recommender import Recommender

_WIDENING = 2
_BLOCK = 4096


@dataclass(frozen=True)
class PMGTParams(Params):
    """Parameters of `PMGT`.

    Args:
        embedding_dim: Width d of all vectors.
        num_layers: Layers of the transformer.
        num_neighbours: Items that an item is joined to, those with most users in common.
        context_size: Context nodes S of an item.
        diversity: Share beta of the attention that goes to nodes unlike the one that looks.
        reconstruction_weight: Weight of the two pre-training tasks.
        reconstruction_samples: Items per step that they are posed for.
        mask_share: Probability that a context node's features are hidden.
        reg_weight: Weight of the squared norms of the batch's users and item offsets.
        fine_tune: Give every item a free offset, as a recommender that starts from PMGT's
            vectors and trains them on.
    """

    embedding_dim: Count = 64
    num_layers: Count = 1
    num_neighbours: Count = 20
    context_size: Count = 5
    diversity: Share = 0.5
    reconstruction_weight: Weight = 0.1
    reconstruction_samples: Count = 256
    mask_share: Share = 0.2
    reg_weight: Weight = 1e-2
    fine_tune: bool = True


class PMGT(Recommender):
    """PMGT of Liu et al. 2021, arXiv:2010.12284, for any number of modalities.

    Items are joined by common users. An item's tokens are the item and its context, found by
    MCNSampling (`ContextSampler`); a token is the sum of the node's modalities, mixed by an
    attention over tanh[X^1 .. X^M], of its position and of its role, target or context. A
    transformer with diversity-promoting attention turns them into vectors h; that of the item is
    its output at position 0. The pre-training tasks are the reconstruction of the graph,
    -ln s(h_i . h_j) - ln s(-h_i . h_k) for a neighbour j and a random item k, and of the features
    of masked context nodes. The score is p_u . (W h_i / sqrt(d) + o_i); h has the length
    sqrt(d), as it comes out of a normalisation.

    Deviates: the tasks are not posed before but beside BPR, in one loss, so that there is one
    training loop; the recommender is a dot product where the paper feeds h to neural matrix
    factorisation; a categorical modality is reconstructed by cross entropy; there is no dropout;
    evaluation takes the contexts of the largest expected significance, nothing being drawn.

    Raises:
        ValueError: The inputs hold no modality, or one without features.
    """

    context_nodes: Tensor
    context_present: Tensor

    def __init__(self, inputs: Inputs, params: PMGTParams, generator: torch.Generator) -> None:
        super().__init__(inputs)
        if not self.modalities:
            raise ValueError("PMGT needs at least one modality with features")
        self.params = params
        dim = params.embedding_dim
        self.users = user_table(inputs, dim, generator)
        self.transform = nn.Parameter(xavier((dim, dim), generator))
        if params.fine_tune:
            self.offsets = item_table(inputs, dim, generator)
        self.projections = projections(inputs, dim, generator)
        count = len(self.modalities)
        if count > 1:
            self.mixing = nn.Parameter(xavier((count, count * dim), generator))
            self.mixing_bias = nn.Parameter(torch.zeros(count))
        self.hidden_node = nn.Parameter(xavier((1, dim), generator)[0])
        graph = co_occurrence(
            inputs.edge_index.flip(0), self.num_items, self.num_users, params.num_neighbours
        )
        self.sampler = ContextSampler(graph, params.context_size)
        contexts = self.sampler.expected()
        self.register_buffer("context_nodes", contexts.nodes, persistent=False)
        self.register_buffer("context_present", contexts.present, persistent=False)
        self.drawn: Contexts | None = None
        length = 1 + self.sampler.size
        self.positions = nn.Parameter(xavier((length, dim), generator))
        self.roles = nn.Parameter(xavier((2, dim), generator))
        self.layers = nn.ModuleList(
            _Layer(dim, params.diversity, generator) for _ in range(params.num_layers)
        )
        self.decoders = nn.ModuleDict(
            {name: _Decoder(module, dim, generator) for name, module in self.projections.items()}
        )

    def refresh(self, epoch: int, generator: torch.Generator) -> None:  # noqa: ARG002
        """Draw the contexts that the epoch trains on."""
        self.drawn = self.sampler.sample(generator)

    def embed(self, keep: Keep = ALL) -> Embeddings:
        """Return the users and W h / sqrt(d) + o of the items."""
        nodes = self._nodes(keep)
        blocks = torch.arange(self.num_items, device=nodes.device).split(_BLOCK)  # type: ignore[no-untyped-call]  # untyped in torch
        vectors = torch.cat([self._encode(nodes, rows) for rows in blocks])
        return Embeddings(self.users, self._items(vectors, slice(None)))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `bpr`, `graph`, `features` and `reg`."""
        params = self.params
        nodes = self._nodes(ALL)
        _, rows, places = distinct_rows(batch)
        items = self._items(self._encode(nodes, rows), rows)
        local = replace(places, users=batch.users)
        reg = self.users.index_select(0, batch.users).square().sum() / (2 * len(batch.users))
        if params.fine_tune:
            reg = l2((self.users, self.offsets), batch)
        targets = batch.positive_items[: params.reconstruction_samples]
        return {
            "bpr": bpr(Embeddings(self.users, items), local),
            "graph": params.reconstruction_weight * self._graph(nodes, targets, batch.generator),
            "features": params.reconstruction_weight
            * self._features(nodes, targets, batch.generator),
            "reg": params.reg_weight * reg,
        }

    def _nodes(self, keep: Keep) -> Tensor:
        """Mix the modalities of every item, [num_items, d]."""
        parts = torch.stack([p(keep) for p in self.projections.values()], 1)  # [items, M, d]
        if len(self.modalities) == 1:
            return parts[:, 0]
        logits = linear(torch.tanh(parts).flatten(1), self.mixing, self.mixing_bias)
        return (logits.softmax(-1)[..., None] * parts).sum(1)

    def _contexts(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the contexts of `rows` and which of their places are taken."""
        if self.training and self.drawn is not None:
            return self.drawn.nodes[rows], self.drawn.present[rows]
        return self.context_nodes[rows], self.context_present[rows]

    def _tokens(self, nodes: Tensor, rows: Tensor, context: Tensor) -> Tensor:
        """Return the items `rows` with their contexts before the first layer, [n, 1 + S, d]."""
        everyone = torch.cat([rows[:, None], context], 1)
        size = everyone.shape[1]
        return nodes.index_select(0, everyone.flatten()).view(len(rows), size, -1)

    def _encode(self, nodes: Tensor, rows: Tensor) -> Tensor:
        """Return the vectors h of the items `rows`, [n, d]."""
        context, present = self._contexts(rows)
        return self._transform(self._tokens(nodes, rows, context), present, targets_only=True)

    def _transform(self, tokens: Tensor, present: Tensor, *, targets_only: bool) -> Tensor:
        """Run the transformer. Returns [n, 1 + S, d], or [n, d] of the targets only."""
        role = torch.cat([self.roles[:1], self.roles[1:].expand(tokens.shape[1] - 1, -1)])
        hidden = _standardised(tokens + self.positions + role)
        absent = torch.cat([torch.zeros_like(present[:, :1]), ~present], 1)
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            hidden = layer(hidden, absent, first_only=targets_only and number == last)
        return hidden[:, 0] if targets_only else hidden

    def _items(self, vectors: Tensor, rows: Tensor | slice) -> Tensor:
        items = linear(vectors, self.transform) / math.sqrt(vectors.shape[-1])
        return items + self.offsets[rows] if self.params.fine_tune else items

    def _graph(self, nodes: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
        """Tell a neighbour of each target from a random item."""
        neighbours = self.sampler.draw_neighbours(targets, generator)
        others = torch.randint(
            self.num_items, targets.shape, generator=generator, device=targets.device
        )
        h, near, far = self._encode(nodes, torch.cat([targets, neighbours, others])).chunk(3)
        joined = self.sampler.weights[targets].sum(-1) > 0
        attracted = logsigmoid((h * near).sum(-1)) * joined
        return -(attracted + logsigmoid(-(h * far).sum(-1))).mean()

    def _features(self, nodes: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
        """Reconstruct the features of context nodes that have been hidden."""
        context, present = self._contexts(targets)
        draw = torch.rand(context.shape, generator=generator, device=context.device)
        hidden = (draw < self.params.mask_share) & present
        tokens = self._tokens(nodes, targets, context)
        masked = torch.cat([torch.zeros_like(hidden[:, :1]), hidden], 1)
        tokens = torch.where(masked[..., None], self.hidden_node, tokens)
        outputs = self._transform(tokens, present, targets_only=False)
        seen, items = outputs[masked], context[hidden]
        terms = [self.decoders[name](seen, items) for name in self.decoders]
        return torch.stack(terms).sum() / max(len(items), 1)


class _Layer(nn.Module):
    """One layer of the transformer, one head: attention and two linear maps, each residual.

    Attention mixes a softmax of q . k / sqrt(d), what is relevant, with one of 1 - cos(c, c'),
    what is different; a node differs from itself by 1.
    """

    def __init__(self, dim: int, diversity: float, generator: torch.Generator) -> None:
        super().__init__()
        self.diversity = diversity
        square, wide = (dim, dim), _WIDENING * dim
        self.query, self.key, self.value, self.contrast, self.output = (
            nn.Parameter(xavier(square, generator)) for _ in range(5)
        )
        self.widen = nn.Parameter(xavier((wide, dim), generator))
        self.widen_bias = nn.Parameter(torch.zeros(wide))
        self.narrow = nn.Parameter(xavier((dim, wide), generator))
        self.narrow_bias = nn.Parameter(torch.zeros(dim))

    def forward(self, hidden: Tensor, absent: Tensor, *, first_only: bool) -> Tensor:
        """Transform tokens [n, length, d], or the first ones alone, [n, 1, d].

        Args:
            hidden: The tokens.
            absent: Places that hold no node, bool [n, length]; nobody attends to them.
            first_only: Leave out what is not needed for the first token.
        """
        length = 1 if first_only else hidden.shape[1]
        looking = hidden[:, :length]
        scale = math.sqrt(hidden.shape[-1])
        relevance = linear(looking, self.query) @ linear(hidden, self.key).mT / scale
        unit = normalize(linear(hidden, self.contrast), dim=-1)
        identity = torch.eye(length, hidden.shape[1], device=hidden.device)
        difference = 1.0 - unit[:, :length] @ unit.mT + identity
        nobody = absent[:, None]
        attention = self.diversity * difference.masked_fill(nobody, -torch.inf).softmax(-1) + (
            1.0 - self.diversity
        ) * relevance.masked_fill(nobody, -torch.inf).softmax(-1)
        mixed = linear(attention @ linear(hidden, self.value), self.output)
        hidden = _standardised(looking + mixed)
        wide = gelu(linear(hidden, self.widen, self.widen_bias))
        return _standardised(hidden + linear(wide, self.narrow, self.narrow_bias))


class _Decoder(nn.Module):
    """Reconstructs what a projection projects: features by squared, categories by log error."""

    def __init__(self, projection: nn.Module, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        assert isinstance(projection, Projection)
        self.categorical = projection.categorical
        target = projection.codes if self.categorical else projection.features
        self.register_buffer("target", target, persistent=False)
        size = projection.weight.shape[1]
        self.weight = nn.Parameter(xavier((size, dim), generator))
        self.bias = nn.Parameter(torch.zeros(size))

    target: Tensor

    def forward(self, outputs: Tensor, items: Tensor) -> Tensor:
        """Sum over the tokens `outputs` [n, d] the error for `items` [n]; features' is a mean."""
        found = linear(outputs, self.weight, self.bias)
        wanted = self.target[items]
        if self.categorical:
            return cross_entropy(found, wanted, reduction="sum")
        return (found - wanted).square().mean(-1).sum()


def _standardised(rows: Tensor) -> Tensor:
    return layer_norm(rows, rows.shape[-1:])
