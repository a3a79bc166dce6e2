import pytest
import torch

from unimask.kernels.non_maxima import demote_non_maxima
from unimask.modeling.layers.mask_head import MaskHead
from unimask.modeling.transformer_decoders.proposals import Proposals

SIZES = [(2, 3), (4, 6), (8, 12)]
CELLS = sum(h * w for h, w in SIZES)


@pytest.fixture
def head() -> MaskHead:
    torch.manual_seed(0)
    return MaskHead(dim=8, mask_dim=8, num_classes=2, anchored=True)


def maps(batch: int = 2, sizes=SIZES) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    memories = [torch.randn(batch, h * w, 8, generator=generator) for h, w in sizes]
    return memories, [torch.randn(h * w, 8, generator=generator) for h, w in sizes]


def test_cells_with_a_better_neighbour_are_ranked_last():
    scores = torch.tensor([[0.9, 0.8, 0.1, 0.7, 0.2, 0.6]])
    actual = demote_non_maxima(scores, [(1, 4), (1, 2)])
    assert actual[0].topk(6).indices.tolist() == [0, 3, 5, 1, 4, 2]


def test_cells_map_to_image_positions(head):
    proposals = Proposals(dim=8, ratio=1.0, max_queries=1000)
    places = proposals.initial_circles(SIZES, torch.device("cpu"))
    assert places.shape == (CELLS, 3)
    assert places[0].tolist() == [16, 16, 48]
    assert places[5].tolist() == [80, 48, 48]
    assert places[6].tolist() == [8, 8, 24]
    assert places[-1].tolist() == [92, 60, 12]


def test_queries_contain_the_features_of_their_cells(head):
    memories, positions = maps()
    actual = Proposals(dim=8, ratio=1.0, max_queries=1000)(memories, positions, SIZES, head)
    assert actual.features.shape == (2, CELLS, 8)
    assert actual.anchors.extent == (96, 64)
    # Every cell is selected; the position code identifies the cell of a query.
    where = torch.cdist(actual.positions, torch.cat(positions)).argmin(-1)
    for image in range(2):
        assert where[image].sort().values.tolist() == list(range(CELLS))
        places = Proposals(dim=8, ratio=1.0, max_queries=1000).initial_circles(
            SIZES, torch.device("cpu")
        )
        assert torch.equal(actual.anchors.centres[image], places[where[image], :2])
        assert torch.equal(actual.anchors.radii[image], places[where[image], 2])


def test_the_most_promising_peaks_become_queries(head):
    memories, positions = maps()
    proposals = Proposals(dim=8, ratio=0.05, max_queries=1000)
    actual = proposals(memories, positions, SIZES, head)
    bids = proposals.norm(proposals.project(torch.cat(memories, dim=1)))
    scores = demote_non_maxima(head.classes(bids).softmax(-1)[..., :-1].amax(-1), SIZES)
    selected = scores.topk(actual.features.shape[1], dim=1).indices
    for image in range(2):
        torch.testing.assert_close(actual.features[image], bids[image, selected[image]])


@pytest.mark.parametrize(
    ("share", "maximum", "count"), [(0.1, 600, 13), (0.5, 20, 20), (1e-9, 9, 1)]
)
def test_the_number_of_proposals_grows_with_the_image_up_to_a_limit(head, share, maximum, count):
    actual = Proposals(dim=8, ratio=share, max_queries=maximum)(*maps(), SIZES, head)
    assert actual.features.shape[1] == count


def test_proposal_scores_get_gradients_from_their_queries(head):
    memories, positions = maps()
    memories = [memory.requires_grad_() for memory in memories]
    proposals = Proposals(dim=8, ratio=0.1, max_queries=600)
    proposals(memories, positions, SIZES, head).features.square().sum().backward()
    assert all(parameter.grad is not None for parameter in proposals.parameters())
    assert sum(memory.grad.any(-1).sum() for memory in memories) == 2 * 13
