"""Test-time augmentation: the authors' rule written out, an oracle network, and bad options."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import TINY_DETR, TINY_RESNET, draw_discs, tiny_checkpoint
from PIL import Image
from torch import nn

import unimask
from unimask import Augmentations
from unimask.checkpoints import write_huggingface
from unimask.config import PostprocessingConfig, PreprocessingConfig
from unimask.datasets.rendered_town import TOWN_LABELS
from unimask.errors import SettingsError
from unimask.inference.augmentation import ViewModel, parse_augmentations, predict_views
from unimask.inference.predictor import Predictor
from unimask.outputs import SegmenterOutput

SCORES = [1 / (1 + np.exp(-logit)) for logit in (4.0, 1.0)]
"""Class probabilities of the oracle's objects in views that are not mirrored, and that are."""

MEAN = sum(SCORES) / 2

RULES = PreprocessingConfig(shortest_edge=32, longest_edge=50)


def load_tiny(folder, config=TINY_RESNET, resize="masks") -> Predictor:
    write_huggingface(folder, tiny_checkpoint(config, seed=4))
    model = unimask.load(folder, device="cpu")
    description = replace(
        model.description,
        preprocessing=RULES,
        postprocessing=replace(model.description.postprocessing, resize=resize),
    )
    return Predictor(model.network, description, "tiny")


@pytest.fixture(scope="module", params=[TINY_RESNET, TINY_DETR], ids=["mask2former", "detr"])
def tiny(tmp_path_factory, request) -> Predictor:
    return load_tiny(tmp_path_factory.mktemp("model"), request.param)


def shortest_edge(size, side, longest):
    """detectron2's ResizeShortestEdge.get_output_shape."""
    height, width = size
    scale = side / min(height, width)
    new = (side, scale * width) if height < width else (scale * height, side)
    if max(new) > longest:
        new = tuple(value * (longest / max(new)) for value in new)
    return int(new[0] + 0.5), int(new[1] + 0.5)


def authors_scores(model: Predictor, image, sides, longest, resize="masks"):
    """SemanticSegmentorWithTTA on the network: mean class scores (k, h, w)."""
    height, width = image.shape[:2]
    test_size = shortest_edge((height, width), RULES.shortest_edge, RULES.longest_edge)
    test = Image.fromarray(image).resize(test_size[::-1], Image.Resampling.BILINEAR)
    total, count = 0, 0
    for side in sides:
        size = shortest_edge(test_size, side, longest)
        resized = np.asarray(test.resize(size[::-1], Image.Resampling.BILINEAR))
        for flip in (False, True):
            view = torch.from_numpy(resized[:, ::-1].copy() if flip else resized.copy())
            pixels = (view.float() - torch.tensor(RULES.mean)) / torch.tensor(RULES.std)
            padded = [-(-length // 32) * 32 for length in size]
            pixels = F.pad(
                pixels.permute(2, 0, 1), (0, padded[1] - size[1], 0, padded[0] - size[0])
            )
            with torch.no_grad():
                output = model.network(pixels[None], "semantic")
            probs = output.class_logits[0].softmax(-1)[:, :-1]
            masks = F.interpolate(output.mask_logits, padded, mode="bilinear")
            masks = masks[..., : size[0], : size[1]]
            if resize == "masks":
                masks = F.interpolate(masks, (height, width), mode="bilinear")
            scores = torch.einsum("qc,qhw->chw", probs, masks[0].sigmoid())
            if resize == "scores":
                scores = F.interpolate(scores[None], (height, width), mode="bilinear")[0]
            total = total + (scores.flip(2) if flip else scores)
            count += 1
    return (total / count).numpy()


@pytest.mark.parametrize("resize", ["masks", pytest.param("scores", marks=pytest.mark.slow)])
def test_semantic_views_equal_the_authors_rule(tmp_path, monkeypatch, resize):
    # Strips of a few rows, as in large images.
    monkeypatch.setattr("unimask.processing.augmented.mean_scores.MAX_VALUES", 40_000)
    model = load_tiny(tmp_path, resize=resize)
    image = draw_discs(2, (75, 190), count=5)[0]  # the longer side limits the test size
    # Sides and limit by hand: 0.5 to 1.75 times (32, 50).
    expected = authors_scores(model, image, (16, 24, 32, 40, 48, 56), 88, resize)
    result = model.predict(image, "semantic", tta=True, batch_size=2)
    ordered = np.sort(expected, axis=0)
    is_clear = ordered[-1] - ordered[-2] > 1e-5
    assert is_clear.mean() > 0.99
    np.testing.assert_array_equal(result.segmentation[is_clear], expected.argmax(0)[is_clear])
    shares = expected.max(0) / expected.sum(0)
    np.testing.assert_allclose(result.confidence, shares, atol=2e-5)
    limit = float(np.median(shares))
    thin = model.predict(image, "semantic", tta=True, threshold=limit).segmentation
    is_clear &= np.abs(shares - limit) > 1e-5
    np.testing.assert_array_equal((thin < 0)[is_clear], (shares < limit)[is_clear])


@pytest.mark.parametrize(
    ("edges", "sides", "longest"),
    [
        # TEST.AUG of the authors' configurations, by INPUT.MIN_SIZE_TEST and MAX_SIZE_TEST.
        ((512, 2048), (256, 384, 512, 640, 768, 896), 3584),
        ((640, 2560), (320, 480, 640, 800, 960, 1120), 4480),
        ((896, 3584), (448, 678, 896, 1120, 1344, 1568), 6272),
        ((1024, 2048), (512, 768, 1024, 1280, 1536, 1792), 4096),
        ((1280, 5120), (640, 960, 1280, 1600, 1920, 2240), 8960),
        ((800, 1333), tuple(range(400, 1201, 100)), 4000),
    ],
)
def test_default_sizes_are_those_of_the_authors(edges, sides, longest):
    config = replace(RULES, shortest_edge=edges[0], longest_edge=edges[1])
    for size in ((edges[0], edges[0] + 100), (100, 900)):
        expected = [shortest_edge(size, side, longest) for side in sides]
        assert Augmentations().sizes(size, "semantic", config) == expected
    assert Augmentations().sizes((600, 700), "panoptic", config) == [(600, 700)]


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
def test_one_view_equals_the_plain_prediction(tiny, task):
    image = draw_discs(3, (70, 90), count=4)[0]
    options = {"threshold": 0.05 if task == "instance" else None}
    plain = tiny.predict(image, task, **options)
    alone = tiny.predict(image, task, tta=Augmentations((1,), flip=False), **options)
    assert len(plain)
    ours, theirs = (
        sorted((s.label_id, s.score or 0, s.area) for s in result.segments)
        for result in (alone, plain)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    np.testing.assert_allclose(alone.confidence, plain.confidence, atol=2e-3)
    assert alone.image.shape == image.shape and alone.labels is tiny.description.labels


class Oracle(nn.Module):
    """Network that reads class and number of each object from the colours, with noise per view.

    Mirrored views, which have their first object at another place, list the objects in reverse,
    predict a lower score, and miss objects of the class `missed`.
    """

    def __init__(self, missed: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.missed = missed

    def forward(self, pixel_values, task=None):
        numbers, labels = pixel_values[0, 0].round().long(), pixel_values[0, 2].round().long()
        names = [n for n in numbers.unique().tolist() if n]
        is_mirrored = bool(pixel_values[0, 1, 0, 0] == 0)
        logits = torch.full((len(names) + 1, len(TOWN_LABELS) + 1), -9.0)
        logits[:, -1] = 0
        masks = torch.full((len(names) + 1, *numbers.shape), -8.0)
        for row, name in enumerate(reversed(names) if is_mirrored else names):
            label = int(labels[numbers == name][0])
            if is_mirrored and label == self.missed:
                continue
            logits[row, label] = 1.0 if is_mirrored else 4.0
            masks[row, numbers == name] = 8.0
        return SegmenterOutput(logits[None], F.avg_pool2d(masks, 4)[None])


def oracle(missed: int | None = None) -> Predictor:
    rules = replace(RULES, shortest_edge=96, longest_edge=200, mean=(0, 0, 0), std=(1, 1, 1))
    description = replace(
        tiny_checkpoint().description,
        labels=TOWN_LABELS,
        preprocessing=rules,
        postprocessing=PostprocessingConfig(object_threshold=0.3),
    )
    return Predictor(Oracle(missed), description, "oracle")  # type: ignore[arg-type]


@pytest.fixture
def objects():
    """Two touching objects of one class, one of another; the width is not that of the padding."""
    image = np.zeros((96, 136, 3), np.uint8)
    image[0, 0, 1] = 1  # marks views that are not mirrored
    image[16:48, 24:56] = 1, 0, 0
    image[16:48, 56:88] = 2, 0, 0
    image[56:88, 96:136] = 3, 0, 1
    image[0, 0, 1] = 1
    return image


@pytest.mark.parametrize("task", ["instance", "panoptic"])
def test_queries_are_matched_across_views(objects, task):
    result = oracle().predict(objects, task, tta=True, threshold=0.3)
    plain = oracle().predict(objects, task, threshold=0.3)
    assert sorted(result.label_ids) == [0, 0, 1]
    assert list(result.label_ids) == list(plain.label_ids)
    areas = [s.area for s in plain.segments]
    assert [s.area for s in result.segments] == pytest.approx(areas, rel=0.005)
    ratios = [s.score / p.score for s, p in zip(result.segments, plain.segments, strict=True)]
    assert ratios == pytest.approx([MEAN / SCORES[0]] * 3, abs=5e-3)


def test_queries_without_a_match_lose_the_share_of_the_other_views(objects):
    result = oracle(missed=1).predict(objects, "instance", tta=True, threshold=0.3)
    plain = oracle().predict(objects, "instance", threshold=0.3)
    scores = {p.label_id: p.score for p in plain.segments}
    ratios = [(s.label_id, s.score / scores[s.label_id]) for s in result.segments]
    expected = [(0, MEAN / SCORES[0]), (0, MEAN / SCORES[0]), (1, 0.5)]
    assert [label for label, _ in ratios] == [label for label, _ in expected]
    assert [r for _, r in ratios] == pytest.approx([r for _, r in expected], abs=5e-3)


@pytest.mark.parametrize(
    ("tta", "message"),
    [
        (2, "tta is 2: pass True, False or Augmentations"),
        ("flip", "tta is 'flip'"),
        (True, "tta does not go with tiles"),
    ],
)
def test_bad_values_get_one_line(tiny, tta, message):
    with pytest.raises(SettingsError, match=message):
        tiny.predict(np.zeros((64, 64, 3), np.uint8), tta=tta, tile=128 if tta is True else "auto")


@pytest.mark.parametrize(
    ("scales", "message"),
    [((), "pass from 1 to 32"), (1.5, "scales is 1.5"), ((0,), "a scale is 0"), ((np.nan,), "nan")],
)
def test_bad_scales_get_one_line(scales, message):
    with pytest.raises(SettingsError, match=message):
        Augmentations(scales)


def test_exported_graphs_take_mirrored_views_only():
    config = replace(RULES, fixed_size=(64, 64))
    augmentations = parse_augmentations(True, None, config, "graph.onnx")
    assert augmentations is not None
    assert augmentations.sizes((48, 64), "semantic", config) == [(48, 64)]
    with pytest.raises(SettingsError, match="inputs of one size only"):
        parse_augmentations(Augmentations((0.5, 1)), None, config, "graph.onnx")


def test_the_commands_take_views(tiny_model, discs, command, check_error, tmp_path):
    image = discs / "val" / "images" / "0.png"
    arguments = ("predict", image, "--model", tiny_model, "--out", tmp_path / "out", "--tta")
    assert command(*arguments, "--task", "instance", "--device", "cpu")[0] == 0
    check_error(*command(*arguments, "--tile", "64")[::2], "tta", "--tile")
    evaluated = ("evaluate", discs, "--model", tiny_model, "--task", "panoptic", "--tta")
    report = tmp_path / "report.json"
    assert command(*evaluated, "--json", report, "--device", "cpu")[0] == 0 and report.exists()
    check_error(*command("evaluate", discs, "--results", tmp_path, "--tta")[::2], "tta", "models")


def test_mirrored_views_exchange_the_classes_of_the_sides(tiny):
    names = ("left_door", "wheel", "right_door")
    scores = torch.tensor([[[4.0, 1.0, 2.0, 3.0]]])

    def logits(pixel_values):
        """Return the same logits for every view; the last class is "no object"."""
        count = len(pixel_values)
        return SegmenterOutput(scores.expand(count, -1, -1), torch.zeros(count, 1, 8, 8))

    model = ViewModel("panoptic", names, RULES, tiny.preprocess, logits)
    image = np.zeros((40, 40, 3), np.uint8)
    views, _ = predict_views(model, image, Augmentations(), batch_size=2)
    assert [view.is_mirrored for view in views] == [False, True]
    assert views[0].class_logits.tolist() == [[4, 1, 2, 3]]
    assert views[1].class_logits.tolist() == [[2, 1, 4, 3]]
