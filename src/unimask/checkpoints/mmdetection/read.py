"""mmdetection's files of Mask2Former and MaskFormer (releases 2 and 3).

mmdetection's Swin interleaves the channels of the four merged patches, row by row; the authors of
Swin concatenate the four patches, column by column (this module undoes `swin_converter` of its
`models/backbones/swin.py`). All other differences are names. Values that shapes do not show are
those of its published configurations: stride in the 3x3 convolution, 4 points, 8 heads in
MaskFormer. Files may include their configuration, which is searched for the stride and the heads.
"""

import re
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from unimask.checkpoints.authors.recognition import (
    find_publication_by_names,
    find_publication_by_size,
)
from unimask.checkpoints.backbone_shapes import State, count_modules, infer_backbone, tensor_shape
from unimask.checkpoints.checkpoint import Checkpoint, ModelDescription
from unimask.checkpoints.config_validation import expected_tensors
from unimask.checkpoints.keymap import Rules, to_ours, to_theirs
from unimask.checkpoints.mask2former_shapes import NUM_POINTS, infer_num_heads
from unimask.checkpoints.mmdetection.names import (
    HEAD,
    IGNORED_NAMES,
    PIXEL_DECODER,
    RESNET,
    SWIN,
    TRANSFORMER_DECODER,
    mask2former_rules,
    maskformer_rules,
)
from unimask.config import (
    BackboneConfig,
    DeformablePixelDecoderConfig,
    FPNPixelDecoderConfig,
    MapEncoderConfig,
    MaskedDecoderConfig,
    SegmenterConfig,
    StandardDecoderConfig,
)
from unimask.errors import CheckpointError
from unimask.labels import LabelSet

DEFAULT_MASKFORMER_HEADS = 8

PATCH_MERGING_NAMES = re.compile(
    r"backbone\.layers\.\d+\.downsample\.(reduction\.weight|norm\.(weight|bias))"
)


UNSUPPORTED_HEADS = {
    "track_head": "it is mmdetection's Mask2Former for video; only those for images are supported",
    "decode_head": "it is a file of mmsegmentation; only those of mmdetection are supported",
}
"""Heads of related projects, and the reason why they are refused."""


def is_mmdetection(state: State) -> bool:
    """Return whether the names are those of mmdetection or a related project."""
    return any(
        name.startswith((f"{HEAD}.", *(f"{other}." for other in UNSUPPORTED_HEADS)))
        for name in state
    )


def read_mmdetection(
    state: dict[str, Tensor], rest: dict, path: Path
) -> tuple[Checkpoint, str | None]:
    """Read a network from mmdetection's file.

    Args:
        state: Tensors under mmdetection's names.
        rest: Other content of the file, whose `meta` holds class names and the configuration.
        path: File of the weights, whose name may contain the dataset and task.

    Returns:
        The checkpoint, and a line for the user if something was assumed.

    Raises:
        CheckpointError: A tensor is missing or unknown, or the network is unknown.
    """
    for other, text in UNSUPPORTED_HEADS.items():
        if any(name.startswith(f"{other}.") for name in state):
            raise CheckpointError(text)
    meta = rest.get("meta")
    text = find_config_text(meta)
    if re.search(r"style\s*=\s*['\"]caffe", text):
        raise CheckpointError("its ResNet strides in 1x1 convolutions, which is not supported")
    config = infer_architecture(state, text, path)
    expected = expected_tensors(config, state)
    renamed = to_ours(state, expected, select_rules(config, state), ignored=IGNORED_NAMES)
    names, things = read_classes(meta, config.num_classes)
    publication, assumed = find_publication_by_size(config, path)
    if names:
        publication, assumed = find_publication_by_names(config, names, path), None
    labels = publication.label_set(config.num_classes)
    preprocessing = publication.preprocessing(config)
    if isinstance(config.transformer_decoder, StandardDecoderConfig):
        preprocessing = replace(preprocessing, size_divisor=1)
    description = ModelDescription(
        config=config,
        labels=LabelSet(
            names or labels.names,
            things or labels.is_thing,
            category_ids=labels.category_ids,
        ),
        tasks=publication.tasks,
        preprocessing=preprocessing,
        postprocessing=publication.postprocessing(config),
    )
    state = {name: reorder_merged_patches(name, value) for name, value in renamed.items()}
    return Checkpoint(description, state), assumed


def find_config_text(meta: object) -> str:
    """Return the text of the configuration that a file includes; "" if it includes none."""
    content = meta if isinstance(meta, dict) else {}
    text = content.get("cfg", content.get("config"))  # key of release 3, key of release 2
    return text if isinstance(text, str) and len(text) < 2**20 else ""


def read_classes(meta: object, num_classes: int) -> tuple[tuple[str, ...], tuple[bool, ...] | None]:
    """Return class names and which classes are things, where the file lists them unambiguously."""
    content = meta if isinstance(meta, dict) else {}
    dataset = content.get("dataset_meta")
    content = dataset if isinstance(dataset, dict) else content
    names = parse_names(content.get("classes", content.get("CLASSES")))
    things = parse_names(content.get("thing_classes", content.get("THING_CLASSES")))
    if len(names) != num_classes:
        return (), None
    return names, tuple(name in things for name in names) if things else None


def parse_names(value: object) -> tuple[str, ...]:
    """Return a list of names as a tuple; empty if the value is anything else."""
    names = value if isinstance(value, list | tuple) else ()
    plain = all(isinstance(name, str) and len(name) < 200 for name in names)
    return tuple(name.strip() for name in names) if plain else ()  # release 2 has a " truck"


def infer_architecture(state: State, config_text: str, path: Path) -> SegmenterConfig:
    """Derive a network's configuration from shapes.

    Raises:
        CheckpointError: A tensor is missing, or its shape fits no such network.
    """
    parts = (
        infer_mask2former(state) if is_mask2former(state) else infer_maskformer(state, config_text)
    )
    return SegmenterConfig(
        backbone=infer_backbone_config(state, path),
        num_classes=tensor_shape(state, f"{HEAD}.cls_embed.weight")[0] - 1,
        **parts,
    )


def is_mask2former(state: State) -> bool:
    """Return whether queries are initialised by learned features, which MaskFormer's are not."""
    return f"{HEAD}.query_feat.weight" in state


def infer_mask2former(state: State) -> dict:
    """Derive the configurations of the decoders."""
    layer = f"{PIXEL_DECODER}.encoder.layers.0"
    part = "self_attn" if has_named_modules(state) else "attentions.0"
    dim = tensor_shape(state, f"{PIXEL_DECODER}.level_encoding.weight")[1]
    num_queries, query_dim = tensor_shape(state, f"{HEAD}.query_feat.weight")
    heads = infer_num_heads(state, f"{layer}.{part}.attention_weights.weight", dim, query_dim)
    return {
        "pixel_decoder": DeformablePixelDecoderConfig(
            dim=dim,
            mask_dim=tensor_shape(state, f"{PIXEL_DECODER}.mask_feature.weight")[0],
            num_layers=count_modules(state, f"{PIXEL_DECODER}.encoder.layers"),
            num_heads=heads,
            num_points=NUM_POINTS,
            ffn_dim=ffn_dim(state, layer),
        ),
        "transformer_decoder": MaskedDecoderConfig(
            dim=query_dim,
            num_queries=num_queries,
            num_layers=count_modules(state, f"{TRANSFORMER_DECODER}.layers"),
            num_heads=heads,
            ffn_dim=ffn_dim(state, f"{TRANSFORMER_DECODER}.layers.0"),
        ),
    }


def infer_maskformer(state: State, config_text: str) -> dict:
    """Derive the configurations of the decoders.

    Raises:
        CheckpointError: The configuration has several numbers of heads, or an invalid one.
    """
    num_queries, dim = tensor_shape(state, f"{HEAD}.query_embed.weight")
    mask_dim, pixel_dim = tensor_shape(state, f"{PIXEL_DECODER}.mask_feature.weight")[:2]
    quoted_heads = set(re.findall(r"num_heads\s*=\s*(\d{1,4})\b", config_text.partition(HEAD)[2]))
    heads = int(quoted_heads.pop()) if len(quoted_heads) == 1 else DEFAULT_MASKFORMER_HEADS
    if quoted_heads or heads < 1 or dim % heads or pixel_dim % heads:
        raise CheckpointError("its number of attention heads is unknown")
    encoder = None
    if f"{PIXEL_DECODER}.encoder_in_proj.weight" in state:
        encoder = MapEncoderConfig(
            num_layers=count_modules(state, f"{PIXEL_DECODER}.encoder.layers"),
            num_heads=heads,
            ffn_dim=ffn_dim(state, f"{PIXEL_DECODER}.encoder.layers.0"),
        )
    return {
        "pixel_decoder": FPNPixelDecoderConfig(dim=pixel_dim, mask_dim=mask_dim, encoder=encoder),
        "transformer_decoder": StandardDecoderConfig(
            dim=dim,
            num_queries=num_queries,
            num_layers=count_modules(state, f"{TRANSFORMER_DECODER}.layers"),
            num_heads=heads,
            ffn_dim=ffn_dim(state, f"{TRANSFORMER_DECODER}.layers.0"),
        ),
    }


def has_named_modules(state: State) -> bool:
    """Return whether modules of layers have names (release 3) instead of numbers (release 2)."""
    return f"{TRANSFORMER_DECODER}.layers.0.self_attn.attn.in_proj_weight" in state


def ffn_dim(state: State, layer: str) -> int:
    """Return the hidden width of a layer's feed-forward network."""
    part = "ffn" if has_named_modules(state) else "ffns.0"
    return tensor_shape(state, f"{layer}.{part}.layers.0.0.weight")[0]


def infer_backbone_config(state: State, path: Path) -> BackboneConfig:
    """Derive the type and configuration of the backbone.

    Raises:
        CheckpointError: The backbone is unknown.
    """
    theirs = {name: value for name, value in state.items() if name.startswith("backbone.")}
    swapped: Rules = [(str(named), ours) for ours, named in (*RESNET, *SWIN)]
    try:
        return infer_backbone(to_theirs(theirs, swapped), path)
    except CheckpointError as error:
        raise CheckpointError(
            f"the backbone is unknown ({error}); supported from mmdetection are Swin, and "
            "ResNet with a stem of one convolution"
        ) from None


def select_rules(config: SegmenterConfig, state: State) -> Rules:
    """Return the rules for a network's names in a file of either release."""
    if isinstance(config.pixel_decoder, FPNPixelDecoderConfig):
        return maskformer_rules(
            has_named_modules=has_named_modules(state),
            encoder=config.pixel_decoder.encoder is not None,
        )
    return mask2former_rules(has_named_modules=has_named_modules(state))


def reorder_merged_patches(name: str, value: Tensor) -> Tensor:
    """Reorder the channels of merged patches to the order of Swin's authors."""
    if not PATCH_MERGING_NAMES.fullmatch(name):
        return value
    *rows, merged = value.shape
    places = value.reshape(*rows, merged // 4, 4).transpose(-1, -2)
    return places[..., [0, 2, 1, 3], :].reshape(*rows, merged)
