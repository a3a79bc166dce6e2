"""DETR's outputs are COCO's category ids: names, things and scores of random networks."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY_DETR
from PIL import Image
from processing.test_detr_panoptic import expected_map, found_map

import unimask
from unimask.checkpoints import Checkpoint, ModelDescription, write_huggingface
from unimask.config import PostprocessingConfig, PreprocessingConfig
from unimask.formats.panoptic_png import encode_ids
from unimask.label_sets import known_labels
from unimask.labels import LabelSet, is_unused
from unimask.modeling.build import build_segmenter
from unimask.processing.preprocess import preprocess

IDS = (1, 17, 44, 90, 92, 149, 200, 12, 249)
"""Category ids that the network predicts: those above 90 are stuff, 12 and 249 are unused."""

SIZE = (96, 120)


PREPROCESSING = PreprocessingConfig(shortest_edge=96, longest_edge=160, size_divisor=1)


def draw_image():
    """Draw a smooth random image."""
    coarse = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(SIZE[::-1], Image.BICUBIC))


def random_network(config):
    """Build a network whose queries have different masks, and confident classes among `IDS`."""
    torch.manual_seed(0)
    network = build_segmenter(config).eval()
    head, received = network.transformer_decoder.head, []
    handle = head.register_forward_pre_hook(lambda _, inputs: received.append(inputs[0]))
    with torch.no_grad():
        network(preprocess(draw_image(), PREPROCESSING).pixel_values[None])
        states = head.norm(received[0])[0]
        head.convs[0].weight[:, 32:].mul_(2000)  # attention maps, whose sum over pixels is 1
        head.output.weight.mul_(20)
        spread(head.query, list(range(32)), states, 4.0)
        head.class_embed.bias.fill_(-1000.0)
        spread(head.class_embed, list(IDS), states, 12.0)
    handle.remove()
    return network


def spread(linear, rows, states, deviation):
    """Set rows of a layer so that its outputs for these states have mean 0 and a deviation."""
    weight = torch.randn(len(rows), states.shape[1])
    outputs = states @ weight.T
    scale = deviation / outputs.std(0)
    linear.weight[rows] = weight * scale[:, None]
    linear.bias[rows] = -outputs.mean(0) * scale


def placeholder_names():
    """Return names without any class."""
    return tuple(f"LABEL_{index}" for index in range(250))


def partial_names():
    """Return the names of used outputs among others."""
    names = known_labels("coco_detr").names
    return tuple("N/A" if is_unused(name) else name for name in names)


@pytest.fixture(scope="module", params=[placeholder_names, partial_names])
def model(tmp_path_factory, request):
    """Folder as on the Hub, without keys of unimask."""
    folder = tmp_path_factory.mktemp("hub")
    decoder = replace(TINY_DETR.transformer_decoder, num_queries=30)
    backbone = replace(TINY_DETR.backbone, norm="frozen_batch")
    config = replace(TINY_DETR, backbone=backbone, transformer_decoder=decoder, num_classes=250)
    names = request.param()
    description = ModelDescription(
        config=config,
        labels=LabelSet(names, (True,) * 250),
        tasks=("panoptic",),
        preprocessing=PREPROCESSING,
        postprocessing=PostprocessingConfig(),
    )
    write_huggingface(folder, Checkpoint(description, random_network(config).state_dict()))
    content = json.loads((folder / "config.json").read_text())
    assert content["model_type"] == "detr"
    del content["unimask"]
    (folder / "config.json").write_text(json.dumps(content))
    return unimask.load(folder, device="cpu")


@torch.no_grad()
def expected_segments(predictor):
    """Return the query of every pixel by the plain rule, and the output index of every query."""
    image = draw_image()
    item = predictor.prepare(image, None, 10**6).preprocessed
    assert item.padded_size == item.input_size == item.original_size == image.shape[:2]
    output = predictor.network(item.pixel_values[None])
    classes, masks = output.class_logits[0], output.mask_logits[0]
    is_thing = [index <= 90 for index in range(250)]
    sizes = (image.shape[:2],) * 3
    return expected_map(classes, masks, *sizes, is_thing=is_thing), classes.argmax(-1).tolist()


def test_segments_have_names_and_kinds_of_their_ids(model):
    official = known_labels("coco_panoptic")
    names = dict(zip(official.category_ids, official.names, strict=True))
    queries, ids = expected_segments(model)
    result = model.predict(draw_image())
    assert (found_map(result) != queries).mean() <= 0.002
    seen = set()
    for segment in result.segments:
        number = ids[segment.queries[0]]
        assert segment.label == names.get(number, f"unused {number}")
        assert segment.is_thing == (number <= 90)
        seen.add(number)
    assert seen & {12, 249} and {n <= 90 for n in seen - {12, 249}} == {True, False}


def write_coco(folder, model, ids_of):
    """Write the plain rule's segments as COCO panoptic, with `ids_of[output]` as categories."""
    (folder / "images").mkdir(parents=True)
    (folder / "panoptic").mkdir()
    official = known_labels("coco_panoptic")
    categories = [
        {"id": number, "name": name, "isthing": int(thing)}
        for number, name, thing in zip(
            official.category_ids, official.names, official.is_thing, strict=True
        )
    ]
    content = {"images": [], "annotations": [], "categories": categories}
    queries, outputs = expected_segments(model)
    used = [q for q in np.unique(queries).tolist() if outputs[q] in ids_of]
    segments = [{"id": q + 1, "category_id": ids_of[outputs[q]], "iscrowd": 0} for q in used]
    png = encode_ids(np.where(np.isin(queries, used), queries + 1, 0))
    Image.fromarray(draw_image()).save(folder / "images" / "a.png")
    Image.fromarray(png).save(folder / "panoptic" / "a.png")
    content["annotations"].append({"image_id": 1, "file_name": "a.png", "segments_info": segments})
    content["images"].append({"id": 1, "file_name": "a.png"})
    (folder / "panoptic.json").write_text(json.dumps(content))
    return folder


def test_evaluation_on_coco_panoptic_compares_ids(model, tmp_path):
    used = [number for number in IDS if number not in (12, 249)]
    right = write_coco(tmp_path / "right", model, dict(zip(used, used, strict=True)))
    report = unimask.evaluate(right, model, task="panoptic", split=None)
    assert report["metrics"]["PQ"] == pytest.approx(100, abs=0.5)
    assert not any("ignored" in note for note in report["notes"])
    # The same pixels with ids of neighbouring classes of the same kind.
    shifted = dict(zip(used, (2, 18, 46, 89, 93, 151, 199), strict=True))
    wrong = write_coco(tmp_path / "wrong", model, shifted)
    report = unimask.evaluate(wrong, model, task="panoptic", split=None)
    assert report["metrics"]["PQ"] == 0
