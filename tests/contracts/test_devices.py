"""Device independence: no tensors stay on the CPU, and the host rarely synchronises."""

from copy import deepcopy
from dataclasses import replace

import conftest
import numpy as np
import pytest
import torch
from card import CardTensor, fake_card, move_to_card
from conftest import TINY_RESNET, draw_discs, tiny_checkpoint
from contracts.test_backbones import TINY

from unimask.inference import Predictor
from unimask.kernels.deformable_attention import force_implementation
from unimask.losses.build import build_criterion
from unimask.modeling.build import build_segmenter
from unimask.outputs import Target
from unimask.processing import postprocess

NETWORKS = [
    "TINY_RESNET", "TINY_SWIN", "TINY_ONEFORMER", "TINY_MASKFORMER", "TINY_ENCODER", "TINY_FAPN",
    "TINY_PER_PIXEL", "TINY_PER_PIXEL_PLUS", "TINY_PROPOSALS", "TINY_DETR", "convnext",
    "dinat", "efficientnet-lite",
]  # fmt: skip
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
WITH_QUERIES = [name for name in NETWORKS if name != "TINY_PER_PIXEL"]
MAX_SYNCS_PER_STEP = 10
MAX_SYNCS_PER_IMAGE = 24
"""Maximum number of synchronisations for a step's losses, and for the segments of an image."""

TASKS = ("panoptic", "instance", "semantic")


def config_of(name):
    return getattr(conftest, name, None) or replace(TINY_RESNET, backbone=TINY[name])


def targets():
    masks = torch.zeros(3, 64, 96, dtype=torch.bool)
    masks[0, :30, :40] = masks[1, 20:50, 30:90] = masks[2, 50:, :20] = True
    ignored = torch.zeros(64, 96, dtype=torch.bool)
    ignored[:, 80:] = True
    return [Target(torch.tensor([0, 1, 0]), masks, ignored), Target(torch.tensor([1]), masks[1:2])]


def losses_and_gradients(network, criterion, pixel_values, ground_truth):
    """Return the total loss and the gradients as one vector."""
    generator = torch.Generator().manual_seed(0)
    output = network(pixel_values, auxiliary=True, factored=criterion.takes_factors)
    losses = criterion(output, ground_truth, generator=generator)
    losses.total.backward()
    gradients = [part.grad for part in network.parameters() if part.grad is not None]
    return [losses.total.detach(), torch.cat([gradient.flatten() for gradient in gradients])]


@pytest.mark.parametrize("name", NETWORKS)
def test_training_stays_on_one_device(name):
    torch.manual_seed(0)
    config = config_of(name)
    network, criterion = build_segmenter(config).eval().double(), build_criterion(config)
    images = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    with force_implementation("reference"):  # the path of devices without Triton
        expected = losses_and_gradients(deepcopy(network), criterion, images, targets())
    with fake_card() as card:
        ground_truth = [target.to("card") for target in targets()]
        actual = losses_and_gradients(
            move_to_card(network), move_to_card(criterion), images.to("card"), ground_truth
        )
        assert all(part.device.type == "card" for part in actual)
        actual = [part.cpu() for part in actual]
    torch.testing.assert_close(actual[0], expected[0], rtol=1e-4, atol=1e-4)
    difference = (actual[1] - expected[1]).norm() / expected[1].norm()
    assert difference < 1e-3
    assert sum(card.synchronisations.values()) <= MAX_SYNCS_PER_STEP, card.synchronisations


def network_and_image(name):
    """Return a network, its description, and an image."""
    checkpoint = tiny_checkpoint(config_of(name), seed=4)
    network = build_segmenter(checkpoint.description.config).eval().requires_grad_(False)
    network.load_state_dict(checkpoint.state)
    return network, checkpoint.description, draw_discs(1, (60, 90))[0]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", WITH_QUERIES)
def test_results_are_equal_on_any_device(name, task, monkeypatch):
    # In inference mode PyTorch hides the view information that wrapper tensors need.
    monkeypatch.setattr(Predictor, "run", torch.no_grad()(Predictor.run.__wrapped__))
    network, description, image = network_and_image(name)
    expected = Predictor(deepcopy(network), description, "cpu").predict(image, task)
    with fake_card(has_float64=False):
        predictor = Predictor(move_to_card(network), description, "card")
        assert predictor.device.type == "card"
        actual = predictor.predict(image, task)
    assert_close_results(actual, expected)


def assert_close_results(actual, expected):
    assert actual.names == expected.names
    np.testing.assert_allclose(actual.scores, expected.scores, atol=1e-3)
    pairs = zip(actual.segments, expected.segments, strict=True)
    assert min((np.mean(a.mask == b.mask) for a, b in pairs), default=1.0) > 0.999


def discs(count, size=(128, 160)):
    """Return confident logits of `count` round objects."""
    rows, columns = torch.arange(size[0])[:, None], torch.arange(size[1])
    place = torch.rand(count, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor(size)
    distance = ((rows - place[:, :1, None]) ** 2 + (columns - place[:, 1:, None]) ** 2).sqrt()
    classes = torch.full((count, 3), -5.0)
    classes[torch.arange(count), torch.arange(count) % 2] = 5.0
    return classes, (8 - distance).clamp(-6, 6)


@pytest.mark.parametrize("task", TASKS)
def test_the_host_waits_as_often_for_many_segments_as_for_few(task):
    synchronisations = []
    for count in (3, 60):
        classes, masks = discs(count)
        with fake_card() as card:
            result = postprocess(
                CardTensor(classes),
                CardTensor(masks),
                task=task,
                labels=("cell", "ground"),
                is_thing=(True, False),
                padded_size=(512, 640),
                input_size=(512, 640),
                original_size=(1024, 1280),
            )
        assert len(result.segments) >= (2 if task == "semantic" else count // 3)
        synchronisations.append(sum(card.synchronisations.values()))
    assert (
        synchronisations[1] <= synchronisations[0] + 2
        and max(synchronisations) <= MAX_SYNCS_PER_IMAGE
    ), synchronisations


@pytest.mark.gpu
@NEEDS_GPU
@pytest.mark.parametrize("name", NETWORKS)
def test_gpu_and_cpu_training_agree(name):
    torch.manual_seed(0)
    network, criterion = build_segmenter(config_of(name)).eval(), build_criterion(config_of(name))
    images = torch.randn(2, 3, 64, 96)
    expected = losses_and_gradients(deepcopy(network), criterion, images, targets())
    ground_truth = [target.to("cuda") for target in targets()]
    actual = losses_and_gradients(network.cuda(), criterion.cuda(), images.cuda(), ground_truth)
    torch.testing.assert_close(actual[0].cpu(), expected[0], rtol=1e-3, atol=1e-3)
    assert (actual[1].cpu() - expected[1]).norm() < 0.02 * expected[1].norm()


@pytest.mark.gpu
@NEEDS_GPU
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", WITH_QUERIES)
def test_gpu_and_cpu_predictions_agree(name, task):
    network, description, image = network_and_image(name)
    expected = Predictor(deepcopy(network), description, "cpu").predict(image, task)
    assert_close_results(
        Predictor(network.cuda(), description, "cuda").predict(image, task), expected
    )


@pytest.mark.gpu
@NEEDS_GPU
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision_on_a_gpu_stays_close(name, dtype):
    torch.manual_seed(0)
    network = build_segmenter(config_of(name)).eval().requires_grad_(False)
    image = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        expected = network(image)
        actual = network.to("cuda", dtype)(image.to("cuda", dtype))
    for part, other in zip(actual[:2], expected[:2], strict=True):
        assert part.isfinite().all()
        assert (part.cpu().float() - other).norm() < 0.1 * other.norm()
