"""`Predictor.track`: results of frames are those of images, with ids and query embeddings."""

import pytest
import torch
from conftest import (
    TINY_DETR,
    TINY_ONEFORMER,
    TINY_PROPOSALS,
    TINY_RESNET,
    draw_discs,
    tiny_checkpoint,
)

import unimask
from unimask.checkpoints import write_huggingface
from unimask.errors import SettingsError, TaskError
from unimask.inference.query_embeddings import capture_query_embeddings
from unimask.processing.score_smoothing import ScoreSmoother

IMAGE = draw_discs(0, (60, 90), count=4)[0]


def load(folder, config=TINY_RESNET, seed=4):
    write_huggingface(folder, tiny_checkpoint(config, seed=seed))
    return unimask.load(folder, device="cpu")


@pytest.fixture(scope="module", params=[TINY_RESNET, TINY_DETR], ids=["mask2former", "detr"])
def predictor(tmp_path_factory, request):
    return load(tmp_path_factory.mktemp("model"), request.param)


@pytest.mark.parametrize("task", ["panoptic", "instance", "semantic"])
def test_frames_have_the_results_of_images_and_keep_their_ids(predictor, task):
    frames = list(predictor.track(iter([IMAGE] * 3), task, threshold=0, rate=10))
    assert [(frame.index, frame.time) for frame in frames] == [(0, 0), (1, 0.1), (2, 0.2)]
    expected = predictor.predict(IMAGE, task, threshold=0)
    assert len(expected)
    confident = {s.id for s in expected.segments if s.score is None or s.score >= 0.5}
    for frame in frames:
        assert [s.rle for s in frame.result.segments] == [s.rle for s in expected.segments]
        ids = {s.id: s.track_id for s in frame.result.segments}
        assert ids == {s.id: s.track_id for s in frames[0].result.segments}
        assert all(ids[id] for id in confident)
        assert frame.age is None and frame.image is IMAGE


@pytest.mark.parametrize(
    ("config", "seed"),
    [(TINY_RESNET, 4), (TINY_PROPOSALS, 4), (TINY_ONEFORMER, 12), (TINY_DETR, 4)],
)
def test_embeddings_are_those_from_which_classes_are_predicted(tmp_path, config, seed):
    predictor = load(tmp_path, config, seed)
    pending = predictor.prepare(IMAGE, None, 10**6)
    with capture_query_embeddings(predictor.network) as captured, torch.inference_mode():
        (result,) = predictor.run([pending], "instance", 0.0)
        vectors = captured.select(result)
        pixels = pending.preprocessed.pixel_values[None]
        expected = predictor.network(pixels, "instance").class_logits[0]
        head = predictor.network.transformer_decoder.head
        for segment, vector in zip(result.segments, vectors, strict=True):
            logits = head.class_embed(torch.from_numpy(vector))
            torch.testing.assert_close(logits, expected[segment.queries[0]], rtol=1e-4, atol=1e-4)
    assert len(result) and not head.norm._forward_hooks


def test_networks_without_queries_have_no_embeddings(predictor):
    with capture_query_embeddings(torch.nn.Identity()) as captured:
        assert captured.select(predictor.predict(IMAGE)) is None


def test_smoothing_is_an_exponential_mean_of_shares(predictor):
    random = torch.Generator().manual_seed(0)
    smoother, mean = ScoreSmoother(0.75), None
    for _ in range(3):
        classes = torch.randn(5, 4, generator=random)
        masks = torch.randn(5, 6, 7, generator=random)
        scores = torch.einsum("qk,qhw->khw", classes.softmax(1)[:, :-1], masks.sigmoid())
        shares = scores / scores.sum(0)
        mean = shares if mean is None else 0.75 * mean + 0.25 * shares
        certain, logits = smoother.update(classes, masks)
        torch.testing.assert_close(logits.sigmoid(), mean)
        assert certain.argmax(1).tolist() == [0, 1, 2]
    still = list(predictor.track(iter([IMAGE] * 2), "semantic", smoothing=0.5))
    assert (still[0].result.segmentation == still[1].result.segmentation).all()


def test_options_are_checked_before_the_source_is_opened(predictor):
    with pytest.raises(SettingsError, match="semantic only"):
        predictor.track("missing.mp4", "panoptic", smoothing=0.5)
    with pytest.raises(TaskError):
        predictor.track("missing.mp4", "depth")
    with pytest.raises(SettingsError):
        predictor.track("missing.mp4", threshold=2)
