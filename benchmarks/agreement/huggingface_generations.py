"""Compare our reader of Hugging Face folders with the `transformers` release that wrote them.

Run it with any release on the path beside unimask; backbones of timm are compared where timm is
there. Each small random network is saved as that release saves it, with its preprocessor, and
loaded here: labels, image sizes and logits have to agree.

    python -m benchmarks.agreement.huggingface_generations
"""

import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

import unimask
from benchmarks.agreement.authors_network import randomise
from unimask.errors import CheckpointError
from unimask.text.task_sentences import task_tokens

transformers: Any = import_module("transformers")

SIZE = (96, 128)
STAGES = ["stage1", "stage2", "stage3", "stage4"]
SWIN = {"embed_dim": 8, "depths": [1, 2, 2, 1], "num_heads": [1, 2, 2, 4], "window_size": 3}
RESNET = {"embedding_size": 8, "hidden_sizes": [16, 24, 32, 40], "depths": [1, 2, 1, 2]}
NUMBERS = {
    "feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "encoder_feedforward_dim": 48,
    "dim_feedforward": 64, "encoder_layers": 2, "decoder_layers": 4, "num_attention_heads": 4,
    "num_queries": 7,
}  # fmt: skip
LABELS = {0: "sky", 1: "road", 2: "car"}


def swin(**more: Any) -> Any:
    """Return a small Swin's configuration."""
    return transformers.SwinConfig(**SWIN, out_features=STAGES, **more)


def resnet(**more: Any) -> Any:
    """Return a small ResNet's configuration."""
    return transformers.ResNetConfig(**RESNET, out_features=STAGES, **more)


def mask2former(**more: Any) -> Any:
    """Build a small Mask2Former."""
    config = transformers.Mask2FormerConfig(**NUMBERS, **{"id2label": LABELS, **more})
    return transformers.Mask2FormerForUniversalSegmentation(config)


def maskformer(backbone: Any, **more: Any) -> Any:
    """Build a small MaskFormer."""
    decoder = transformers.DetrConfig(
        d_model=32, num_queries=7, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=48,
        encoder_layers=1, encoder_attention_heads=4, encoder_ffn_dim=48,
    )  # fmt: skip
    config = transformers.MaskFormerConfig(
        fpn_feature_size=32, mask_feature_size=32, backbone_config=backbone,
        decoder_config=decoder, id2label=LABELS, **more,
    )  # fmt: skip
    return transformers.MaskFormerForInstanceSegmentation(config)


def oneformer(**more: Any) -> Any:
    """Build a small OneFormer."""
    config = transformers.OneFormerConfig(
        conv_dim=64, mask_dim=64, hidden_dim=64, encoder_feedforward_dim=48, dim_feedforward=64,
        encoder_layers=2, decoder_layers=4, num_attention_heads=4, num_queries=7,
        query_dec_layers=1, text_encoder_width=64, text_encoder_num_layers=1,
        text_encoder_vocab_size=60, id2label=LABELS, **more,
    )  # fmt: skip
    return transformers.OneFormerForUniversalSegmentation(config)


def networks() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Return the networks that this release can build."""
    yield "mask2former, swin", lambda: mask2former(backbone_config=swin())
    yield (
        "mask2former, two unnamed classes",
        lambda: mask2former(backbone_config=swin(), id2label={0: "LABEL_0", 1: "LABEL_1"}),
    )
    if not transformers.__version__.startswith(
        "4.2"
    ):  # which build a Swin whatever the configuration says
        yield "mask2former, resnet", lambda: mask2former(backbone_config=resnet())
        basic = resnet(layer_type="basic")
        yield "mask2former, basic resnet", lambda: mask2former(backbone_config=basic)
    yield "mask2former, default swin", lambda: mask2former()
    yield "maskformer, swin", lambda: maskformer(swin())
    yield "maskformer, resnet", lambda: maskformer(resnet())
    yield "oneformer, swin", lambda: oneformer(backbone_config=swin())
    yield (
        "oneformer, swin, texts",
        lambda: oneformer(backbone_config=swin(), is_training=True, dropout=0.0),
    )
    if find_spec("timm") and hasattr(transformers, "TimmBackboneConfig"):
        timm = transformers.TimmBackboneConfig(
            backbone="resnet18", out_indices=[1, 2, 3, 4], use_pretrained_backbone=False
        )
        yield "mask2former, resnet18 of timm", lambda: mask2former(backbone_config=timm)
        yield "maskformer, resnet18 of timm", lambda: maskformer(timm)
        yield "oneformer, resnet18 of timm", lambda: oneformer(backbone_config=timm)
        named = {
            "backbone": "resnet18",
            "use_timm_backbone": True,
            "use_pretrained_backbone": False,
        }
        if transformers.__version__.startswith("4"):
            yield (
                "mask2former, timm by its name",
                lambda: mask2former(**named, backbone_kwargs={"out_indices": [1, 2, 3, 4]}),
            )


def forms() -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the ways in which this release saves weights."""
    yield "safetensors", {"safe_serialization": True}
    if transformers.__version__.startswith("4"):
        yield "pytorch_model.bin", {"safe_serialization": False}
    else:
        yield "its own new names", {"save_original_format": False}


def save_preprocessor(network: Any, folder: Path) -> None:
    """Save a preprocessor with this release."""
    family = network.config.model_type
    name = {"mask2former": "Mask2Former", "maskformer": "MaskFormer"}.get(family)
    if name is None:  # OneFormer's wants files of the Hub
        return
    kind = getattr(transformers, f"{name}FeatureExtractor", None)
    kind = kind or getattr(transformers, f"{name}ImageProcessor")
    kind(size={"shortest_edge": 96, "longest_edge": 160}).save_pretrained(folder)


def difference(network: Any, folder: Path) -> float:
    """Return the maximum difference of logits, relative to their maximum."""
    predictor = unimask.load(folder, device="cpu")
    assert predictor.labels == tuple(network.config.id2label.values())
    given = predictor.description.preprocessing
    if network.config.model_type == "maskformer":
        assert (given.shortest_edge, given.longest_edge) == (96, 160)
    pixel_values = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        if network.config.model_type == "oneformer":
            network.model.is_training = False  # no texts here
            tokens = torch.tensor([task_tokens("panoptic", 77)])
            expected = network(pixel_values, task_inputs=tokens.float())
            found = predictor.network(pixel_values, "panoptic")
        else:
            expected = network(pixel_values)
            found = predictor.network(pixel_values)
    worst = 0.0
    for a, b in (
        (found.class_logits, expected.class_queries_logits),
        (found.mask_logits, expected.masks_queries_logits),
    ):
        worst = max(worst, ((a - b).abs().max() / b.abs().max()).item())
    return worst


def compare(name: str, network: Any) -> float:
    """Print how one network agrees in every form."""
    worst = 0.0
    for form, options in forms():
        with tempfile.TemporaryDirectory() as root:
            folder = Path(root)
            network.save_pretrained(folder, **options)
            save_preprocessor(network, folder)
            saved_config = json.loads((folder / "config.json").read_text())
            assert saved_config["model_type"] == network.config.model_type
            try:
                found = difference(network, folder)
            except CheckpointError as error:
                print(f"{name:34} {form:18} REFUSED: {str(error)[:300]}", flush=True)
                worst = 1.0
                continue
        print(f"{name:34} {form:18} logits agree to {found:.1e}", flush=True)
        worst = max(worst, found)
    return worst


def main() -> None:
    """Compare what this release can build."""
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    print(f"transformers {transformers.__version__}")
    worst = []
    for name, build in networks():
        torch.manual_seed(0)
        try:
            network = build().eval()
        except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
            reason = " ".join(str(error).split())[:60]
            print(f"{name:34} is not built by this release ({reason})", flush=True)
            continue
        randomise(network)
        worst.append(compare(name, network))
    print(f"greatest difference {max(worst):.1e}")
    sys.exit(max(worst) > 1e-4)


if __name__ == "__main__":
    main()
