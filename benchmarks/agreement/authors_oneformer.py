"""Compare OneFormer, and our reader of its files, with its authors' own modules.

Needs their repositories (https://github.com/SHI-Labs/OneFormer, facebookresearch/Mask2Former and
.../detectron2) and no installation; see `authors_network.py`. Names, logits of every layer and
task, and texts are compared.

    python -m benchmarks.agreement.authors_oneformer ONEFORMER MASK2FORMER DETECTRON2
"""

import sys
import tempfile
import warnings
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.agreement.authors_network import (
    SMALL_SWIN,
    compare_names,
    randomise,
    stub_family,
    stub_packages,
)
from unimask.checkpoints import read_authors
from unimask.config import (
    ConvNeXtConfig,
    DeformablePixelDecoderConfig,
    MaskedDecoderConfig,
    SegmenterConfig,
    SwinConfig,
    TaskQueriesConfig,
)
from unimask.labels import TASKS
from unimask.modeling.build import build_segmenter
from unimask.presets import oneformer_nano, preset
from unimask.text.task_sentences import task_tokens

SMALL = replace(oneformer_nano(11), backbone=SMALL_SWIN)
SMALL_CONVNEXT = ConvNeXtConfig(dims=(16, 24, 32, 48), depths=(1, 2, 3, 1), layer_scale=1.0)


def their_backbone(config: SegmenterConfig) -> tuple[nn.Module, tuple[int, ...]]:
    """Build the authors' backbone; return it and the channels of its maps."""
    backbone = config.backbone
    if isinstance(backbone, ConvNeXtConfig):
        module = import_module("oneformer.modeling.backbone.convnext").ConvNeXt
        theirs = module(
            depths=list(backbone.depths), dims=list(backbone.dims), out_indices=[0, 1, 2, 3],
            layer_scale_init_value=backbone.layer_scale,
        )  # fmt: skip
        return theirs, backbone.dims
    if not isinstance(backbone, SwinConfig):
        raise TypeError(f"{backbone.kind} is not compared here")
    theirs = import_module("oneformer.modeling.backbone.swin").SwinTransformer(
        embed_dim=backbone.embed_dim, depths=backbone.depths, num_heads=backbone.num_heads,
        window_size=backbone.window_size, mlp_ratio=backbone.mlp_ratio,
    )  # fmt: skip
    return theirs, tuple(backbone.embed_dim * 2**stage for stage in range(4))


def their_network(config: SegmenterConfig) -> nn.Module:
    """Assemble the authors' parts as their `from_config` does."""
    folder = "oneformer.modeling"
    decoder = import_module(f"{folder}.transformer_decoder.oneformer_transformer_decoder")
    pixel = import_module(f"{folder}.pixel_decoder.msdeformattn")
    head = import_module(f"{folder}.meta_arch.oneformer_head")
    spec = import_module("detectron2.layers.shape_spec").ShapeSpec
    network = nn.Module()
    network.backbone, channels = their_backbone(config)
    shape = {
        f"res{index + 2}": spec(channels=width, stride=4 * 2**index)
        for index, width in enumerate(channels)
    }
    pixels, queries = config.pixel_decoder, config.transformer_decoder
    assert isinstance(pixels, DeformablePixelDecoderConfig)
    assert isinstance(queries, MaskedDecoderConfig)
    task = queries.task_queries or TaskQueriesConfig()
    pixel_decoder = pixel.MSDeformAttnPixelDecoder(
        shape, transformer_dropout=task.dropout, transformer_nheads=pixels.num_heads,
        transformer_dim_feedforward=pixels.ffn_dim, transformer_enc_layers=pixels.num_layers,
        conv_dim=pixels.dim, mask_dim=pixels.mask_dim, norm="GN",
        transformer_in_features=["res3", "res4", "res5"], common_stride=4,
    )  # fmt: skip
    predictor = decoder.ContrastiveMultiScaleMaskedTransformerDecoder(
        pixels.dim, True, num_classes=config.num_classes, hidden_dim=queries.dim,
        num_queries=queries.num_queries, nheads=queries.num_heads, dropout=task.dropout,
        dim_feedforward=queries.ffn_dim, enc_layers=0, is_train=True,
        dec_layers=queries.num_layers, class_dec_layers=task.num_layers, pre_norm=False,
        mask_dim=pixels.mask_dim, enforce_input_project=False, use_task_norm=task.task_norm,
    )  # fmt: skip
    network.sem_seg_head = head.OneFormerHead(
        shape, num_classes=config.num_classes, pixel_decoder=pixel_decoder,
        transformer_predictor=predictor, transformer_in_feature="multi_scale_pixel_decoder",
    )  # fmt: skip
    network.task_mlp = decoder.MLP(task.task_length, queries.dim, queries.dim, 2)
    add_texts(network, config)
    return network.eval()


def add_texts(network: nn.Module, config: SegmenterConfig) -> None:
    """Add the authors' text branch."""
    text, queries = config.text, config.transformer_decoder
    if text is None or not isinstance(queries, MaskedDecoderConfig):
        return
    dim = queries.dim
    folder = "oneformer.modeling.transformer_decoder"
    mlp = import_module(f"{folder}.oneformer_transformer_decoder").MLP
    network.text_encoder = import_module(f"{folder}.text_transformer").TextTransformer(
        context_length=text.length, width=text.dim, layers=text.num_layers,
        vocab_size=text.vocabulary,
    )  # fmt: skip
    network.text_projector = mlp(text.dim, dim, dim, text.projector_layers)
    network.prompt_ctx = nn.Embedding(text.context, text.dim)
    network.criterion = nn.Module()
    network.criterion.logit_scale = nn.Parameter(torch.tensor(2.5))


def difference(theirs: nn.Module, config: SegmenterConfig) -> float:
    """Return the maximum difference of logits and texts, relative to their maxima."""
    randomise(theirs)
    theirs.task_mlp.layers[0].weight.data.mul_(1e-3)  # type: ignore[index,union-attr]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pth"
        torch.save({"model": theirs.state_dict()}, path)
        checkpoint, _ = read_authors(path)
    assert checkpoint.description.config.transformer_decoder == config.transformer_decoder
    assert checkpoint.description.config.text == config.text
    ours = build_segmenter(checkpoint.description.config).eval()
    ours.load_state_dict(checkpoint.state)
    # Their network sees images filled up to multiples of 32, ours pads ConvNeXt's by itself.
    pixel_values = torch.randn(3, 3, 160, 224, generator=torch.Generator().manual_seed(1))
    length = theirs.task_mlp.layers[0].weight.shape[1]  # type: ignore[index,union-attr]
    tokens = torch.tensor([task_tokens(task, length) for task in TASKS]).float()
    with torch.no_grad():
        features = theirs.backbone(pixel_values)  # type: ignore[operator]
        expected = theirs.sem_seg_head(features, theirs.task_mlp(tokens))  # type: ignore[operator]
        found = ours(pixel_values, TASKS, auxiliary=True)
    last = {key: expected[key] for key in ("pred_logits", "pred_masks")}
    pairs: list[tuple[Tensor, Tensor]] = [(found.object_queries, expected["contrastive_logits"])]
    for layer, other in zip(
        [*found.auxiliary, found], [*expected["aux_outputs"], last], strict=True
    ):
        pairs += [(layer.class_logits, other["pred_logits"])]
        pairs += [(layer.mask_logits, other["pred_masks"])]
    pairs += [texts(theirs, ours, config)]
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)


def texts(theirs: nn.Module, ours: nn.Module, config: SegmenterConfig) -> tuple[Tensor, Tensor]:
    """Return our and their embeddings of random sentences."""
    assert config.text is not None
    generator = torch.Generator().manual_seed(2)
    size = (4, config.text.length)
    sentences = torch.randint(0, config.text.vocabulary, size, generator=generator)
    with torch.no_grad():
        expected = theirs.text_projector(theirs.text_encoder(sentences))  # type: ignore[operator]
        found = ours.text_mapper.encode(sentences[None])[0, :4]  # type: ignore[operator,union-attr]
    return found, expected


def compare(name: str, config: SegmenterConfig, *, logits: bool) -> float:
    """Print how names, and logits of every layer and task, of one network agree."""
    theirs = their_network(config)
    worst = compare_names(name, theirs, config)
    if logits and not worst:
        worst = difference(theirs, config)
        agreement = "queries, texts and logits of all layers and tasks agree to"
        print(f"{name:30} {agreement} {worst:.1e}", flush=True)
    return worst


def main(oneformer: Path, mask2former: Path, detectron2: Path) -> None:
    """Compare small networks, and those that are published."""
    warnings.simplefilter("ignore")
    stub_packages(mask2former, detectron2)
    stub_family(oneformer, "oneformer")
    worst = [
        compare("small, Swin", SMALL, logits=True),
        compare("small, ConvNeXt", replace(SMALL, backbone=SMALL_CONVNEXT), logits=True),
        compare("oneformer-swin-tiny", preset("oneformer-swin-tiny", 150), logits=True),
        compare("oneformer-swin-large", preset("oneformer-swin-large", 150), logits=False),
    ]
    print(f"worst: {max(worst):.1e}")
    sys.exit(max(worst) > 1e-4)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
