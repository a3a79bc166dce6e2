"""OneFormer on DiNAT, exported for `transformers` and read again."""

from dataclasses import replace

import pytest
import torch
from conftest import TINY_ONEFORMER
from parity.test_backbones import without_natten
from parity.test_oneformer import run_theirs
from parity.theirs import assert_same_logits

from unimask.checkpoints import Checkpoint, ModelDescription, read_huggingface, write_huggingface
from unimask.checkpoints.huggingface.config import write_config
from unimask.checkpoints.huggingface.folder import select_rules
from unimask.checkpoints.keymap import to_theirs
from unimask.checkpoints.skeleton import build_skeleton
from unimask.config import DiNATConfig, PostprocessingConfig, PreprocessingConfig
from unimask.labels import TASKS, LabelSet
from unimask.modeling.build import build_segmenter
from unimask.presets import preset

transformers = pytest.importorskip("transformers")

DINAT = DiNATConfig(
    embed_dim=8, num_heads=(1, 2, 2, 4), kernel_size=3,
    dilations=((1,), (2,), (1, 3), (1,)), mlp_ratio=2.0, drop_path=0.1,
)  # fmt: skip
TINY = replace(TINY_ONEFORMER, backbone=DINAT, num_classes=3, text=None)

LOSS = {"criterion.empty_weight", "criterion.logit_scale"}
"""Tensors of their loss."""


def labels_of(count: int) -> LabelSet:
    return LabelSet(tuple(f"class {index}" for index in range(count)), (True,) * count)


def random_checkpoint(config) -> Checkpoint:
    """Return a network with random weights; task ids are large, so their weights are small."""
    torch.manual_seed(0)
    network = build_segmenter(config)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if tensor.ndim == 1 or "rpb" in name:
                tensor.add_(0.3 * torch.randn_like(tensor))
        network.task_encoder.linear1.weight.mul_(1e-3)
    return Checkpoint(description_of(config), network.state_dict())


def description_of(config):
    return ModelDescription(
        config=config,
        labels=labels_of(config.num_classes),
        tasks=tuple(reversed(TASKS)),
        preprocessing=PreprocessingConfig(),
        postprocessing=PostprocessingConfig(),
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Our network, and its exported folder."""
    checkpoint = random_checkpoint(TINY)
    folder = tmp_path_factory.mktemp("exported")
    write_huggingface(folder, checkpoint)
    network = build_segmenter(TINY).eval()
    network.load_state_dict(checkpoint.state)
    return network, folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("size", [(64, 96), (75, 109)], ids=str)
def test_saved_folders_predict_the_same_in_transformers(exported, size):
    ours, folder = exported
    pixel_values = torch.randn(3, 3, *size, generator=torch.Generator().manual_seed(1))
    with without_natten():
        theirs, report = transformers.OneFormerForUniversalSegmentation.from_pretrained(
            folder, output_loading_info=True
        )
        assert theirs.config.backbone_config.model_type == "dinat"
        assert not set(report["missing_keys"]) - LOSS
        assert not report["unexpected_keys"] and not report["mismatched_keys"]
        expected = run_theirs(theirs.eval(), pixel_values, TASKS)
    with torch.no_grad():
        actual = ours(pixel_values, TASKS)
    assert actual.class_logits.std() > 0.05 and actual.mask_logits.std() > 0.05
    assert_same_logits(actual.class_logits, expected.class_queries_logits)
    assert_same_logits(actual.mask_logits, expected.masks_queries_logits)


def test_the_folder_loads_here_again_with_equal_logits(exported):
    ours, folder = exported
    checkpoint = read_huggingface(folder)
    assert checkpoint.description.config == TINY
    again = build_segmenter(checkpoint.description.config).eval()
    again.load_state_dict(checkpoint.state)
    pixel_values = torch.randn(1, 3, 50, 70)
    with torch.no_grad():
        one, other = ours(pixel_values, "semantic"), again(pixel_values, "semantic")
    assert torch.equal(one.mask_logits, other.mask_logits)
    assert torch.equal(one.class_logits, other.class_logits)


@pytest.mark.parametrize("texts", [True, False], ids=["with texts", "without texts"])
def test_the_published_size_has_the_authors_names_and_shapes(texts):
    config = preset("oneformer-dinat-large", 150)
    config = config if texts else replace(config, text=None)
    written = write_config(description_of(config))
    values = {key: value for key, value in written.items() if key != "unimask"}
    values["is_training"] = texts  # otherwise transformers leaves out the text branch
    with without_natten(), torch.device("meta"):
        theirs = transformers.OneFormerForUniversalSegmentation(
            transformers.OneFormerConfig.from_dict(values)
        )
    expected = {name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()}
    state = to_theirs(build_skeleton(config).state_dict(), select_rules("oneformer", config))
    ours = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert ours.items() <= expected.items()
    assert expected.keys() - ours.keys() <= LOSS
