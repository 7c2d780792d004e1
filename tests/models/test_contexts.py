import torch

from models.contexts import ContextSampler
from models.inputs import Neighbours

# A chain 0 - 1 - 2 - 3 whose first edge weighs three times the second; node 4 has no edge.
CHAIN = Neighbours(
    torch.tensor([[1, 0], [0, 2], [1, 3], [2, 0], [0, 0]]),
    torch.tensor([[3.0, 0.0], [3.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]),
)


def test_the_expected_context_weighs_near_steps_more_and_follows_the_weights() -> None:
    found = ContextSampler(CHAIN, 4).expected()
    # From 1: first step 0 (.75), 2 (.25); second 1, 3; third again 0 and 2, 0 more often.
    assert found.nodes[1, :3].tolist() == [0, 2, 3]
    assert found.present.sum(1).tolist() == [3, 3, 3, 3, 0]


def test_expected_significance_is_what_sampling_tends_to() -> None:
    # Node 0: 1 is met in step 1 (16 times 3) and step 3 (512 * (.75 + .25 / 2) times 1); 2 and 0
    # in step 2 (128 times 2, a quarter 2); 3 in step 3 (512 * .25 / 2 times 1) = 64 like 2.
    sampler = ContextSampler(CHAIN, 4)
    drawn = [sampler.sample(torch.Generator().manual_seed(seed)) for seed in range(20)]
    assert all(contexts.nodes[0, 0] == 1 for contexts in drawn)
    assert {int(contexts.nodes[0, 1]) for contexts in drawn} == {2, 3}
    assert all(not bool(contexts.present[4].any()) for contexts in drawn)
    assert all(not bool((c.nodes == torch.arange(5)[:, None])[c.present].any()) for c in drawn)


def test_blocks_do_not_change_the_contexts() -> None:
    whole, blocks = ContextSampler(CHAIN, 2), ContextSampler(CHAIN, 2, block_rows=2)
    assert torch.equal(whole.expected().nodes, blocks.expected().nodes)


def test_neighbours_are_drawn_by_the_weights_of_the_edges() -> None:
    rows = torch.ones(4000, dtype=torch.int64)
    drawn = ContextSampler(CHAIN, 2).draw_neighbours(rows, torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) == {0, 2}
    assert abs(float((drawn == 0).float().mean()) - 0.75) < 0.03
