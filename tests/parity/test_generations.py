"""Folders of releases 4 and 5 of `transformers` give the same network."""

import json
import shutil

import pytest
import torch
from conftest import TINY_SWIN, tiny_checkpoint
from parity.theirs import random_weights, resnet, swin, transformers
from safetensors.torch import load_file

import unimask
from unimask.checkpoints import read_huggingface, write_huggingface
from unimask.checkpoints.huggingface.backbone_names import ENCODER
from unimask.checkpoints.huggingface.defaults import DEFAULT_CLASS_NAMES, DEFAULTS
from unimask.errors import CheckpointError

NUMBERS = {
    "feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "encoder_feedforward_dim": 48,
    "dim_feedforward": 64, "encoder_layers": 1, "decoder_layers": 3, "num_attention_heads": 4,
    "num_queries": 7,
}  # fmt: skip
LABELS = {0: "sky", 1: "road", 2: "car"}


def mask2former(backbone):
    config = transformers.Mask2FormerConfig(backbone_config=backbone, id2label=LABELS, **NUMBERS)
    return transformers.Mask2FormerForUniversalSegmentation(config)


def maskformer(backbone):
    decoder = transformers.DetrConfig(
        d_model=32, num_queries=7, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=48
    )
    config = transformers.MaskFormerConfig(
        fpn_feature_size=32, mask_feature_size=32, backbone_config=backbone,
        decoder_config=decoder, id2label=LABELS,
    )  # fmt: skip
    return transformers.MaskFormerForInstanceSegmentation(config)


def oneformer(backbone):
    config = transformers.OneFormerConfig(
        conv_dim=32, mask_dim=32, hidden_dim=32, encoder_feedforward_dim=48, dim_feedforward=64,
        encoder_layers=1, decoder_layers=3, num_attention_heads=4, num_queries=7,
        query_dec_layers=1, is_training=False, backbone_config=backbone, id2label=LABELS,
    )  # fmt: skip
    return transformers.OneFormerForUniversalSegmentation(config)


NETWORKS = {
    "mask2former, swin": lambda: mask2former(swin(window=7)),
    "mask2former, resnet": lambda: mask2former(resnet("bottleneck")),
    "maskformer, swin": lambda: maskformer(swin()),
    "maskformer, resnet": lambda: maskformer(resnet("basic")),
    "oneformer, swin": lambda: oneformer(swin()),
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    """Network of release 5."""
    model = NETWORKS[request.param]()
    random_weights(model)
    return model


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    """Folder saved with default options."""
    target = tmp_path_factory.mktemp("usual")
    network.save_pretrained(target)
    return target


def assert_same(target, folder):
    """Check that two folders contain the same network."""
    found, expected = read_huggingface(target), read_huggingface(folder)
    assert found.description == expected.description
    assert found.state.keys() == expected.state.keys()
    assert all(torch.equal(found.state[n], value) for n, value in expected.state.items())


def describe(target, change):
    """Change config.json."""
    content = json.loads((target / "config.json").read_text())
    change(content)
    (target / "config.json").write_text(json.dumps(content))


def copy(folder, target):
    shutil.copytree(folder, target)
    return target


def test_the_new_names_of_release_5_are_read(network, folder, tmp_path):
    network.save_pretrained(tmp_path, save_original_format=False)
    assert_same(tmp_path, folder)


def test_release_5_writes_new_names(tmp_path):
    """The test above would be trivial if release 5 stopped writing them."""
    mask2former(swin()).save_pretrained(tmp_path, save_original_format=False)
    block = f"{ENCODER}.swin.encoder.layers.0.blocks.0"
    names = load_file(tmp_path / "model.safetensors").keys()
    assert {f"{block}.attention.q_proj.weight", f"{block}.mlp.fc1.bias"} <= names


def test_pickles_and_buffers_of_release_4_are_read(folder, tmp_path):
    """Release 4 stores position indices and batch counters, and `.bin` files by default."""
    target = copy(folder, tmp_path / "model")
    tensors = load_file(target / "model.safetensors")
    for name in list(tensors):
        if name.endswith("relative_position_bias_table"):
            index = name.replace("bias_table", "index")
            tensors[index] = torch.zeros(49, 49, dtype=torch.int64)
    (target / "model.safetensors").unlink()
    torch.save(tensors, target / "pytorch_model.bin")
    assert_same(target, folder)


def test_default_values_may_be_omitted(network, folder, tmp_path):
    """Releases around 4.40 omit them in nested configurations (`recursive_diff_dict`)."""
    target = copy(folder, tmp_path / "model")

    def leave_out(content):
        for part in ("backbone_config", "decoder_config"):
            if part in content:
                section = content[part]
                defaults = type(getattr(network.config, part))().to_dict()
                content[part] = {
                    key: value
                    for key, value in section.items()
                    if key == "model_type" or value != defaults.get(key, "none")
                }

    describe(target, leave_out)
    assert_same(target, folder)


CONFIGS = {
    "swin": "SwinConfig", "resnet": "ResNetConfig", "convnext": "ConvNextConfig",
    "dinat": "DinatConfig", "detr": "DetrConfig",
}  # fmt: skip


@pytest.mark.parametrize("kind", CONFIGS)
def test_defaults_are_those_of_the_schema(kind):
    defaults = json.loads(getattr(transformers, CONFIGS[kind])().to_json_string(use_diff=False))
    assert {name: defaults[name] for name in DEFAULTS[kind]} == DEFAULTS[kind]


def test_two_default_class_names_may_be_omitted(tmp_path):
    write_huggingface(tmp_path, tiny_checkpoint(TINY_SWIN))
    for names in (None, {}, "left out"):
        describe(tmp_path, lambda content, names=names: content.update(id2label=names))
        if names == "left out":
            describe(tmp_path, lambda content: content.pop("id2label"))
        assert read_huggingface(tmp_path).description.labels.names == tuple(
            DEFAULT_CLASS_NAMES.values()
        )
    assert transformers.PretrainedConfig().id2label == {
        int(k): v for k, v in DEFAULT_CLASS_NAMES.items()
    }


@pytest.mark.parametrize("backbone_keys", [{"backbone_config": None}, {}])
def test_backbone_types_are_inferred_from_tensor_names(folder, tmp_path, backbone_keys):
    target = copy(folder, tmp_path / "model")

    def set_backbone(content):
        content.pop("backbone_config")
        content.update(
            backbone="microsoft/some-backbone", use_pretrained_backbone=True, **backbone_keys
        )

    describe(target, set_backbone)
    actual, expected = read_huggingface(target), read_huggingface(folder)
    assert actual.state.keys() == expected.state.keys()
    assert all(torch.equal(actual.state[n], value) for n, value in expected.state.items())


@pytest.mark.parametrize("name", ["hf-hub:somebody/model", "local-dir:/tmp", "a/b/c", ""])
@pytest.mark.parametrize("described", [True, False])
def test_timm_loads_no_other_source(folder, tmp_path, name, described):
    target = copy(folder, tmp_path / "model")
    timm = {"model_type": "timm_backbone", "backbone": name}

    def set_backbone(content):
        content.pop("backbone_config")
        content.update(
            {"backbone_config": timm} if described else {**timm_by_name, "backbone": name}
        )

    timm_by_name = {"backbone_config": None, "use_timm_backbone": True}
    describe(target, set_backbone)
    with pytest.raises(CheckpointError, match="timm has no model"):
        read_huggingface(target)


@pytest.mark.parametrize(
    ("option", "value"), [("pre_norm", True), ("activation_function", "gelu"), ("common_stride", 8)]
)
def test_unsupported_options_are_refused(tmp_path, option, value):
    mask2former(swin()).save_pretrained(tmp_path)
    describe(tmp_path, lambda content: content.update({option: value}))
    with pytest.raises(CheckpointError, match=f"{option} of the mask2former is {value!r}"):
        read_huggingface(tmp_path)


OLD = {
    "feature_extractor_type": "MaskFormerFeatureExtractor", "size": 640, "max_size": 1000,
    "size_divisibility": 0, "reduce_labels": True, "ignore_index": 255, "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25],
}  # fmt: skip
NEW = {
    "image_processor_type": "MaskFormerImageProcessorFast", "size_divisor": 1,
    "size": {"shortest_edge": 640, "longest_edge": 1000}, "do_reduce_labels": True,
    "image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25], "rescale_factor": 1 / 255,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("preprocessor_config.json", OLD),
        ("preprocessor_config.json", NEW),
        ("processor_config.json", {"image_processor": NEW, "processor_class": "AnyProcessor"}),
    ],
)
def test_preprocessors_of_all_releases_are_read(tmp_path, name, content):
    maskformer(swin()).save_pretrained(tmp_path)
    (tmp_path / name).write_text(json.dumps(content))
    found = unimask.load(tmp_path, device="cpu").description.preprocessing
    assert (found.shortest_edge, found.longest_edge, found.size_divisor) == (640, 1000, 1)
    assert (found.mean, found.std) == ((127.5,) * 3, (63.75,) * 3)


def test_do_rescale_false_is_read(tmp_path):
    maskformer(swin()).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**NEW, "do_normalize": False}))
    found = read_huggingface(tmp_path).description.preprocessing
    assert (found.mean, found.std) == ((0.0,) * 3, (255.0,) * 3)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**NEW, "do_rescale": False}))
    assert read_huggingface(tmp_path).description.preprocessing.mean == (0.5,) * 3
