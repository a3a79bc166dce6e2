"""The contract of `Predictor`."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import (
    NUCLEI,
    TINY_ONEFORMER,
    TINY_PROPOSALS,
    TINY_RESNET,
    TINY_SWIN,
    draw_discs,
    tiny_checkpoint,
    with_description,
)
from PIL import Image

import unimask
from unimask.checkpoints import write_huggingface
from unimask.errors import CheckpointError, ImageError, SettingsError, TaskError
from unimask.label_sets import known_labels
from unimask.labels import LabelSet
from unimask.modeling.build import build_segmenter
from unimask.presets import PRESETS
from unimask.results import Result

TASKS = ("panoptic", "instance", "semantic")


def draw_images():
    sizes = [(60, 90), (90, 60), (64, 64), (60, 90), (33, 120), (60, 88)]
    return [draw_discs(seed, size, count=4)[0] for seed, size in enumerate(sizes)]


# With these seeds, every network predicts several segments.
NETWORKS = {
    "resnet": (TINY_RESNET, 4),
    "swin": (TINY_SWIN, 4),
    "proposals": (TINY_PROPOSALS, 4),
    "task": (TINY_ONEFORMER, 12),
}


@pytest.fixture(scope="module", params=NETWORKS)
def predictor(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    config, seed = NETWORKS[request.param]
    write_huggingface(folder, tiny_checkpoint(config, seed=seed))
    return unimask.load(folder, device="cpu")


def assert_same_result(first: Result, second: Result) -> None:
    assert len(first) == len(second) and first.names == second.names
    np.testing.assert_allclose(first.scores, second.scores, atol=1e-4)
    for one, other in zip(first.segments, second.segments, strict=True):
        union = (one.mask | other.mask).sum()
        assert (one.mask & other.mask).sum() / union > 0.999


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_an_image_gives_the_same_result_alone_and_in_any_list(predictor, task, batch_size):
    threshold = 0.05 if task == "instance" else None
    images = draw_images()
    together = predictor.predict(images, task, threshold=threshold, batch_size=batch_size)
    assert sum(len(result) for result in together) >= 6
    for image, result in zip(images, together, strict=True):
        assert_same_result(predictor.predict(image, task, threshold=threshold), result)


def test_one_image_a_list_a_folder_a_pattern_an_iterator(predictor, tmp_path):
    images = draw_images()[:3]
    for index, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    alone = predictor.predict(images[0])
    assert isinstance(alone, Result) and alone.size == (60, 90)
    assert_same_result(alone, predictor.predict(str(tmp_path / "0.png")))
    assert_same_result(alone, predictor(Image.fromarray(images[0])))
    for many in (images, tmp_path, str(tmp_path / "*.png")):
        results = predictor.predict(many)
        assert isinstance(results, list) and len(results) == 3
        assert_same_result(alone, results[0])
    assert predictor.predict(tmp_path)[1].path == tmp_path / "1.png"
    assert predictor.predict([]) == []


def test_iterators_are_consumed_lazily(predictor):
    read = []

    def frames():
        for image in draw_images()[:3]:
            read.append(image)
            yield image

    results = predictor.predict(frames())
    assert not isinstance(results, list) and not read
    next(results)
    assert len(read) == 1


@pytest.mark.parametrize("container", [list, iter])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_stream_yields_errors_in_their_places(predictor, tmp_path, container, batch_size):
    images = draw_images()[:3]
    paths = [tmp_path / f"{index}.png" for index in range(5)]
    for path, image in zip(paths[::2], images, strict=True):
        Image.fromarray(image).save(path)
    paths[1].write_bytes(b"no image")
    sources = container(paths)
    outcomes = list(predictor.stream(sources, batch_size=batch_size, on_error="yield"))
    assert [isinstance(outcome, ImageError) for outcome in outcomes] == [0, 1, 0, 1, 0]
    assert "1.png" in str(outcomes[1]) and "3.png" in str(outcomes[3])
    for image, outcome in zip(images, outcomes[::2], strict=True):
        assert_same_result(predictor.predict(image), outcome)


def test_a_stream_takes_one_image_a_folder_and_a_pattern(predictor, tmp_path):
    image = draw_images()[0]
    Image.fromarray(image).save(tmp_path / "a.png")
    expected = predictor.predict(image)
    for source in (image, tmp_path, str(tmp_path / "*.png"), str(tmp_path / "a.png")):
        (result,) = predictor.stream(source)
        assert_same_result(expected, result)


def test_a_stream_raises_after_the_results_of_earlier_images(predictor, tmp_path):
    Image.fromarray(draw_images()[0]).save(tmp_path / "good.png")
    stream = predictor.stream([tmp_path / "good.png", tmp_path / "gone.png"], batch_size=2)
    assert next(stream).path == tmp_path / "good.png"
    with pytest.raises(ImageError, match=r"gone\.png"):
        next(stream)


def test_a_stream_takes_the_frames_of_an_iterator_one_by_one(predictor):
    frames = iter(draw_images() * 100)
    stream = predictor.stream(frames)
    next(stream)
    stream.close()
    assert len(list(frames)) == 100 * len(draw_images()) - 1


def test_a_stream_checks_its_arguments_before_the_first_image(predictor):
    with pytest.raises(SettingsError, match="on_error is 'skip': pass 'raise' or 'yield'"):
        predictor.stream([], on_error="skip")
    with pytest.raises(SettingsError, match="batch_size is 0"):
        predictor.stream([], batch_size=0)
    with pytest.raises(TaskError):
        predictor.stream([], "depth")


def test_exif_turns_the_image_upright(predictor, tmp_path):
    image = Image.fromarray(draw_images()[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    assert predictor.predict(tmp_path / "turned.jpg").size == (90, 60)


def test_a_model_has_its_own_threshold_of_instances(tmp_path):
    tiny, image = tiny_checkpoint(TINY_RESNET, seed=4), draw_images()[0]
    rules = replace(tiny.description.postprocessing, instance_threshold=0.05)
    write_huggingface(tmp_path, with_description(tiny, postprocessing=rules))
    model = unimask.load(tmp_path, device="cpu")
    assert model.description.postprocessing == rules
    expected = model.predict(image, "instance", threshold=0.05)
    assert len(expected) > len(model.predict(image, "instance", threshold=0.5))
    assert_same_result(model.predict(image, "instance"), expected)
    assert_same_result(
        model.predict(image, "instance", tta=True),
        model.predict(image, "instance", tta=True, threshold=0.05),
    )
    with pytest.raises(CheckpointError, match="instance_threshold of the postprocessing"):
        wrong = replace(rules, instance_threshold=1.5)
        write_huggingface(tmp_path / "wrong", with_description(tiny, postprocessing=wrong))
        unimask.load(tmp_path / "wrong", device="cpu")


def test_thresholds_change_what_is_kept(predictor):
    image = draw_images()[0]
    counts = [len(predictor.predict(image, "instance", threshold=t)) for t in (0.0, 0.5, 0.99)]
    assert counts[0] > counts[1] >= counts[2] == 0
    assert all(s.score >= 0.5 for s in predictor.predict(image, "instance").segments)
    whole, none = (predictor.predict(image, "semantic", threshold=t) for t in (None, 1.0))
    assert whole.segmentation.min() >= 0 and (none.segmentation == -1).all() and not len(none)
    with pytest.raises(SettingsError, match="threshold is 2"):
        predictor.predict(image, "semantic", threshold=2)


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
def test_without_confidence_nothing_is_retained_and_the_segments_are_the_same(predictor, task):
    image = draw_images()[0]
    result = predictor.predict(image, task)
    bare = predictor.predict(image, task, retain_confidence=False)
    assert bare.confidence_source is None and result.confidence_source is not None
    assert np.array_equal(bare.segmentation, result.segmentation)
    assert [s.score for s in bare.segments] == [s.score for s in result.segments]
    with pytest.raises(SettingsError, match="retain_confidence"):
        _ = bare.confidence


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
def test_confidence_is_that_of_the_segments(predictor, task):
    """Alone, in a list and in a batch; drawing and saving do not compute it."""
    image = draw_images()[0]
    alone = predictor.predict(image, task, threshold=0.1)
    listed = predictor.predict([image, image], task, threshold=0.1, batch_size=2)
    assert "confidence" not in vars(alone)
    assert ((alone.confidence > 0) == (alone.segmentation > (task == "semantic") * -1)).all()
    for result in listed:
        np.testing.assert_allclose(result.confidence, alone.confidence, atol=1e-3)


def test_unsupported_tasks_are_refused_listing_the_supported(tmp_path):

    write_huggingface(tmp_path, with_description(tiny_checkpoint(), tasks=("instance",)))
    predictor = unimask.load(tmp_path)
    assert predictor.predict(draw_images()[0]).task == "instance"
    with pytest.raises(TaskError, match="does instance"):
        predictor.predict(draw_images()[0], "panoptic")


def test_predictor_network_is_the_predicting_module(predictor):
    output = predictor.network(torch.zeros(2, 3, 75, 109))
    queries = output.class_logits.shape[1]
    assert output.class_logits.shape == (2, queries, 3) and queries >= 12
    assert output.mask_logits.shape == (2, queries, 19, 28)
    assert output.auxiliary == ()


def test_saved_models_load_again(predictor, tmp_path):
    predictor.save(tmp_path / "copy")
    again = unimask.load(tmp_path / "copy")
    assert again.labels == predictor.labels and again.tasks == predictor.tasks
    assert_same_result(predictor.predict(draw_images()[0]), again.predict(draw_images()[0]))


def test_speed_covers_every_stage(predictor):
    speed = predictor.predict(draw_images()[0]).speed
    assert set(speed) == {"preprocess", "network", "postprocess"}
    assert all(ms > 0 for ms in speed.values())


@pytest.mark.filterwarnings("ignore:dtype auto")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "auto"])
def test_other_types_predict(tmp_path, dtype):
    write_huggingface(tmp_path, tiny_checkpoint())
    predictor = unimask.load(tmp_path, dtype=dtype, device="cpu")
    assert predictor.predict(draw_images()[0]).size == (60, 90)


def test_files_that_are_not_images_are_refused(predictor):
    for wrong in (3, None, 2.5):
        with pytest.raises(ImageError, match="is no image"):
            predictor.predict(wrong)
    with pytest.raises(SettingsError, match="batch_size is 0"):
        predictor.predict(draw_images()[0], batch_size=0)


def test_predictor_repr(predictor):
    text = repr(predictor)
    assert "nucleus, background" in text and "panoptic, instance, semantic" in text
    assert "float32 on cpu" in text


def test_all_of_the_top_k_can_be_returned(predictor):
    result = predictor.predict(draw_images()[0], "instance", threshold=0.0)
    scores = [segment.score for segment in result.segments]
    assert scores == sorted(scores, reverse=True) and scores[-1] < 0.5


def test_colours_go_through_folders_and_into_results(tmp_path):
    labels = LabelSet(NUCLEI.names, NUCLEI.is_thing, ((12, 34, 56), None))
    description = replace(tiny_checkpoint().description, labels=labels)
    first = unimask.Predictor(build_segmenter(TINY_RESNET).eval(), description, "mine")
    first.save(tmp_path / "once")
    unimask.load(tmp_path / "once", device="cpu").save(tmp_path / "twice")
    again = unimask.load(tmp_path / "twice", device="cpu")
    result = again.predict(draw_images()[0], "semantic")
    assert again.description.labels.colours == result.labels.colours == labels.colours


def test_a_known_set_is_drawn_in_its_colours(monkeypatch):
    monkeypatch.setitem(
        PRESETS, "mask2former-resnet50", lambda classes: replace(TINY_RESNET, num_classes=classes)
    )
    torch.manual_seed(0)
    names = known_labels("cityscapes").names
    by_name = unimask.build("mask2former-resnet50-cityscapes-semantic", device="cpu")
    by_labels = unimask.build("mask2former-resnet50", labels=names, device="cpu")
    image = np.zeros((100, 720, 3), np.uint8)
    for predictor in (by_name, by_labels):
        result = predictor.predict(image, "semantic")
        legend = np.array(result.plot())[:, 720:].reshape(-1, 3)
        for segment in result.segments[:3]:
            assert (legend == known_labels("cityscapes").colours[segment.label_id]).all(1).any()
