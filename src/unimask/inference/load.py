"""Where weights come from: a bundled name, a folder, a run, or the Hub."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from unimask.checkpoints import Checkpoint, read_huggingface
from unimask.config import PostprocessingConfig, PreprocessingConfig
from unimask.errors import CheckpointError, SettingsError
from unimask.inference.predictor import Predictor
from unimask.labels import LabelSet
from unimask.modeling.build import build_segmenter
from unimask.presets import PRESETS, preset

BUNDLED = Path(__file__).parents[1] / "weights"
HUB_FILES = ["config.json", "preprocessor_config.json", "model.safetensors"]

PUBLISHED = (
    "facebook/mask2former-swin-tiny-coco-panoptic",
    "facebook/mask2former-swin-small-coco-instance",
    "facebook/mask2former-swin-base-IN21k-ade-semantic",
    "facebook/mask2former-swin-large-cityscapes-panoptic",
)
"""A few of the Hub's ids, for messages."""

Dtype = Literal["float32", "bfloat16", "float16", "auto"]


def load(source: str | Path, *, device: str = "auto", dtype: Dtype = "float32") -> Predictor:
    """Load a trained model.

    Args:
        source: A bundled name (`nuclei`), a folder in the Hugging Face schema, the folder of a
            training run (its best weights), or a Hub id.
        device: "auto" takes CUDA, else Apple's MPS, else the CPU; or any name that PyTorch knows.
        dtype: Of the weights and the arithmetic. "auto" takes bfloat16 on GPUs that have it,
            else float32.

    Raises:
        CheckpointError: There are no such weights, or they cannot be read.
        SettingsError: The device or the dtype does not exist here.
    """
    checkpoint = read_source(source)
    place = choose_device(device)
    network = build_segmenter(checkpoint.config)
    network.load_state_dict(checkpoint.state)
    network = network.to(place, choose_dtype(dtype, place)).eval().requires_grad_(False)
    return Predictor(network, checkpoint, str(source))


def build(
    preset_name: str,
    *,
    labels: Sequence[str],
    is_thing: Sequence[bool] | None = None,
    device: str = "auto",
) -> Predictor:
    """Build an untrained network, to train it by hand or to try its speed.

    Args:
        preset_name: One of the architectures, such as "mask2former-swin-tiny".
        labels: Names of the classes.
        is_thing: Per class: True where objects are counted; all by default.
        device: As for `load`.

    Raises:
        SettingsError: No preset has that name, or the label set is not one.
    """
    things = tuple(is_thing) if is_thing is not None else (True,) * len(labels)
    label_set = LabelSet(tuple(labels), things)
    config = preset(preset_name, len(label_set))
    network = build_segmenter(config).to(choose_device(device)).eval()
    checkpoint = Checkpoint(
        config=config,
        state=network.state_dict(),
        labels=label_set,
        tasks=("panoptic", "instance", "semantic"),
        preprocessing=PreprocessingConfig(),
        postprocessing=PostprocessingConfig(),
    )
    return Predictor(network, checkpoint, f"untrained {preset_name}")


def bundled_names() -> tuple[str, ...]:
    """Give the names of the models that come with the package."""
    if not BUNDLED.is_dir():
        return ()
    return tuple(sorted(p.name for p in BUNDLED.iterdir() if (p / "config.json").is_file()))


def read_source(source: str | Path) -> Checkpoint:
    """Find and read the weights that `source` names."""
    name, path = str(source), Path(source)
    if name in bundled_names():
        return read_huggingface(BUNDLED / name)
    if path.is_dir():
        for folder in (path, path / "weights" / "best", path / "weights" / "last"):
            if (folder / "config.json").is_file():
                return read_huggingface(folder)
        raise CheckpointError(f"{path} holds no model: expected config.json, or a training run")
    if path.is_file():
        raise CheckpointError(f"{path} is a file: give the folder with config.json and weights")
    if name in PRESETS:
        raise CheckpointError(
            f"{name} is an architecture without weights: train it (unimask train --model {name}), "
            f"or load published weights such as {hint(name)}"
        )
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return read_huggingface(download(name))
    raise CheckpointError(
        f"no model {name!r}: give a bundled name ({', '.join(bundled_names()) or 'none here'}), a "
        f"folder, or a Hub id such as {PUBLISHED[0]}"
    )


def hint(name: str) -> str:
    """Name published checkpoints of a preset, or any where it has none."""
    fitting = [published for published in PUBLISHED if f"/{name}-" in published]
    return " or ".join(fitting or PUBLISHED[:2])


def download(name: str) -> Path:
    """Fetch a model folder from the Hub, or from its cache."""
    try:
        return Path(snapshot_download(name, allow_patterns=HUB_FILES))
    except LocalEntryNotFoundError:
        raise CheckpointError(
            f"{name} is not in the cache and the Hub cannot be reached: check the network, or give "
            "a folder"
        ) from None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{name} cannot be fetched from the Hub: {reason}") from None


def choose_device(device: str) -> torch.device:
    """Turn a name into a device that exists."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        mps = torch.backends.mps.is_available()
        return torch.device("mps" if mps else "cpu")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise SettingsError(f"device {device!r} does not exist here: try cpu or auto") from None
    return place


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Turn a name into a type."""
    if dtype == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if fast else torch.float32
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in known:
        raise SettingsError(f"unknown dtype {dtype!r}: choose one of {', '.join(known)}, auto")
    return known[dtype]
