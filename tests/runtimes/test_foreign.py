"""Graphs that transformers exported, run with the labels and rules of their model folder."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from unimask.cli.model_options import with_rules
from unimask.errors import CheckpointError, SettingsError
from unimask.inference.dtypes import LoadWarning
from unimask.inference.load import load
from unimask.inference.predictor import Predictor
from unimask.labels import LabelSet

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
transformers = pytest.importorskip("transformers")
pytest.importorskip("onnxscript")

from export.test_export import photograph  # noqa: E402

pytestmark = [
    pytest.mark.extra,
    pytest.mark.filterwarnings("ignore"),  # of PyTorch's exporter
]

SIZE = (96, 128)
STAGES = ["stage1", "stage2", "stage3", "stage4"]


class Logits(torch.nn.Module):
    """The network of transformers with class and mask logits as its only outputs."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        output = self.model(pixel_values=pixel_values, output_auxiliary_logits=False)
        return output.masks_queries_logits, output.class_queries_logits


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    backbone = transformers.SwinConfig(
        embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], out_features=STAGES
    )
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone,
        id2label={0: "sky", 1: "road", 2: "car"},
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=48,
        dim_feedforward=64,
        encoder_layers=1,
        decoder_layers=3,
        num_attention_heads=4,
        num_queries=7,
    )
    model = transformers.Mask2FormerForUniversalSegmentation(config)
    return Logits(model.eval()).requires_grad_(False)


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    network.model.save_pretrained(folder)
    processor = transformers.Mask2FormerImageProcessor(size={"height": 96, "width": 128})
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "theirs.onnx"
    torch.onnx.export(
        network,
        (torch.zeros(1, 3, *SIZE),),
        str(path),
        dynamo=True,
        verbose=False,
        input_names=["images"],
        output_names=["masks", "classes"],
    )
    return path


@pytest.fixture(scope="module")
def converted(network, tmp_path_factory):
    openvino = pytest.importorskip("openvino")
    path = tmp_path_factory.mktemp("converted") / "theirs.xml"
    example = torch.zeros(1, 3, *SIZE)
    with torch.no_grad():
        model = openvino.convert_model(network, example_input=example, input=[list(example.shape)])
    openvino.save_model(model, path, compress_to_fp16=False)
    return path


@pytest.mark.parametrize("source", ["exported", "converted"])
def test_a_file_of_transformers_predicts_like_its_folder(source, folder, request):
    theirs, ours = load(request.getfixturevalue(source), rules=folder), load(folder)
    assert theirs.labels == ours.labels and theirs.tasks == ours.tasks
    rules = replace(ours.description, preprocessing=theirs.description.preprocessing)
    ours = Predictor(ours.network, rules, "resized for the graph")
    for seed, size in enumerate([(96, 128), (70, 50)]):
        image = photograph(size, seed)
        pixel_values = ours.preprocess(image).pixel_values
        torch.testing.assert_close(theirs.preprocess(image).pixel_values, pixel_values)
        outputs = (model.logits(pixel_values[None], "panoptic")[:2] for model in (ours, theirs))
        for expected, found in zip(*outputs, strict=True):
            torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
        for task in ours.tasks:
            found, expected = (m.predict(image, task, threshold=0) for m in (theirs, ours))
            assert expected.segments
            assert (found.segmentation == expected.segmentation).mean() >= 0.999


def test_without_rules_the_usual_ones_are_assumed(exported, folder, tmp_path):
    names = load(folder).labels
    with pytest.warns(LoadWarning, match="usual sizes"):
        model = load(exported, labels=LabelSet(names, (True,) * len(names)))
    assert model.predict(photograph(), "instance").size == (90, 120)
    file = tmp_path / "labels.json"
    file.write_text(json.dumps({"names": names}))
    assert load(exported, labels=file, rules=folder).labels == names


def test_a_file_without_rules_says_what_to_pass(exported):
    with pytest.raises(CheckpointError, match=r"theirs\.onnx was not exported by unimask.*--rules"):
        load(exported)


def test_labels_of_another_number_are_refused(exported, folder, tmp_path):
    file = tmp_path / "labels.json"
    file.write_text(json.dumps({"names": [f"class {index}" for index in range(40)]}))
    with pytest.raises(CheckpointError, match="but there are 40 labels"):
        load(exported, labels=file, rules=folder)


def add_output(model):
    model.graph.output.append(onnx.helper.make_tensor_value_info("more", 1, ["a", "b", "c"]))
    model.graph.node.append(onnx.helper.make_node("Identity", ["classes"], ["more"]))


def add_input(model):
    model.graph.input.append(onnx.helper.make_tensor_value_info("task", 1, [1]))


def drop_masks(model):
    del model.graph.output[0]


@pytest.mark.parametrize(
    "change, message",
    [
        (add_output, "2 outputs of 3 dimensions"),
        (add_input, "has the inputs images, task"),
        (drop_masks, "0 outputs of 4 dimensions"),
    ],
)
def test_other_graphs_are_refused_in_one_line(change, message, exported, folder, tmp_path):
    model = onnx.load(exported)
    change(model)
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(CheckpointError, match=message) as caught:
        load(tmp_path / "other.onnx", rules=folder)
    assert "\n" not in str(caught.value)


def test_files_of_unimask_take_no_other_rules(folder, tmp_path):
    from unimask.export import ExportSettings, export_onnx

    path = tmp_path / "ours.onnx"
    export_onnx(load(folder), path, ExportSettings(size=SIZE))
    with pytest.raises(CheckpointError, match="has its own labels and rules"):
        load(path, rules=folder)
    with pytest.raises(SettingsError, match="has its own labels and rules"):
        load(folder, rules=folder)


def test_the_command_line_passes_all_options(exported, folder):
    options = {"device": "cpu", "dtype": "float32", "compiled": False}
    for preprocessing, squash in (("hub", (96, 128)), ("authors", None)):
        model = with_rules(
            str(exported), preprocessing=preprocessing, labels=None, rules=str(folder), **options
        )
        assert model.description.preprocessing.squash == squash
    with pytest.raises(SettingsError, match="has its own dtype"):
        with_rules(str(exported), "cpu", "int8", "authors", False, labels=None, rules=str(folder))


def test_the_command_line_predicts(command, exported, folder, tmp_path):
    Image.fromarray(photograph((96, 128))).save(tmp_path / "a.png")
    out = tmp_path / "out"
    options = "--rules", folder, "--preprocessing", "hub", "--task", "semantic", "--out", out
    code, printed, errors = command("predict", tmp_path / "a.png", "--model", exported, *options)
    assert code == 0, errors
    expected = load(exported, rules=folder, preprocessing="hub").predict(
        tmp_path / "a.png", "semantic"
    )
    assert all(segment.label in printed for segment in expected.segments)
