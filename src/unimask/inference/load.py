"""Loading of weights: a bundled name, a folder, a run, a file of the authors, or a Hub id."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import torch

from unimask.bundled import bundled_names
from unimask.config import Preprocessing
from unimask.errors import CheckpointError, SettingsError
from unimask.inference.dtypes import Dtype, LoadWarning, check_dtype, choose_dtype
from unimask.inference.exported import is_exported, load_exported
from unimask.inference.folders import local_folder
from unimask.inference.hub import PREPROCESSOR_FILES, HubAccess, download, is_hub_id
from unimask.inference.names import EXAMPLES, describe_trained_weights, is_untrained
from unimask.inference.precision import check_int8
from unimask.inference.predictor import Predictor
from unimask.labels import LabelSet

if TYPE_CHECKING:
    from unimask.checkpoints import Checkpoint

DEFAULT_ACCESS = HubAccess()
"""Access to the Hub with all defaults of huggingface_hub and its environment variables."""

WEIGHT_FILES = (".pkl", ".pth", ".pt", ".safetensors")


def load(
    source: str | Path,
    *,
    device: str = "auto",
    dtype: Dtype = "float32",
    preprocessing: Preprocessing = "authors",
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | None = None,
    compile: bool = False,
    labels: LabelSet | str | Path | None = None,
    rules: str | Path | None = None,
) -> Predictor:
    """Load a trained model.

    Args:
        source: A bundled name (`nuclei`), a folder in the Hugging Face schema, the folder of a
            training run (its best weights), a file as the authors publish them (`.pkl`, `.pth`;
            no code in it is run), a Hub id (`owner/model`, or `owner/model@revision`), or a file
            of `unimask export` (`.onnx` or `.xml`), which ONNX Runtime or OpenVINO computes.
        device: Any device name of PyTorch, or "auto": CUDA, else Apple's MPS, else the CPU.
            OpenVINO's are cpu, gpu and npu.
        dtype: Dtype of weights and computation. "auto" takes bfloat16 on GPUs that support it,
            float16 on older GPUs, and on CPUs bfloat16 if it is at least 1.3 times as fast as
            float32, which is measured once per processor (0.1 s); float32 elsewhere. "int8"
            multiplies 8-bit integers in the backbone and pixel decoder, on CPUs with AVX-512 VNNI;
            the rest is float32.
        preprocessing: "authors" resizes to the test size that the weights were published with;
            "hub" follows the folder's preprocessor_config.json, which for Mask2Former on the
            Hub resizes to 384 x 384 without keeping the aspect ratio.
        revision: Branch, tag or commit of a Hub id.
        cache_dir: Folder of downloaded files; huggingface_hub's default if None.
        token: Access token for gated or private models; huggingface_hub's default if None.
        compile: Whether to compile the network (`torch.compile`) for each recurring image size, on
            CUDA as CUDA graphs; this pays off for many images of few sizes.
        labels: For `.onnx` and `.xml` files of other programs: the classes in the order of the
            network's outputs, or a JSON file of them; by default those of `rules`.
        rules: For the same files: the model that was exported (a folder with config.json and
            preprocessor_config.json, a bundled name or a Hub id), whose labels, resizing,
            normalisation and post-processing apply.

    Raises:
        CheckpointError: The weights do not exist, or cannot be read.
        SettingsError: The device or the dtype is not available, an argument does not fit the
            source, or the compiler does not work on this machine.

    Example:
        >>> import unimask
        >>> model = unimask.load("nuclei")  # doctest: +SKIP
        >>> result = model.predict("cells.png")  # doctest: +SKIP
    """
    if is_exported(source):
        refuse_options(source, dtype, compile)
        if labels is None and rules is None:
            return load_exported(source, device)
        from unimask.inference.graph_rules import read_graph_rules

        access = HubAccess(revision=revision, cache_dir=cache_dir, token=token)
        folder = None if rules is None else find_folder(rules, access)
        return load_exported(source, device, read_graph_rules(labels, folder, preprocessing))
    if labels is not None or rules is not None:
        raise SettingsError(
            f"{source} has its own labels and rules: only .onnx and .xml files of other programs "
            "take others"
        )
    # Imported here: exported files need no networks.
    from unimask.checkpoints.skeleton import build_skeleton
    from unimask.runtimes.int8 import prepare_int8

    place = choose_device(device)
    check_dtype(dtype)
    if dtype == "int8":
        check_int8(place, compile=compile)
    access = HubAccess(revision=revision, cache_dir=cache_dir, token=token)
    checkpoint = without_text_branch(read_source(source, access, preprocessing))
    description = checkpoint.description
    network = build_skeleton(description.config)
    # The network adopts the checkpoint's tensors: a copy would double the memory.
    network.load_state_dict(checkpoint.state, assign=True)
    kind = choose_dtype(dtype, place, network)
    network = network.to(place, kind).eval().requires_grad_(False)
    if dtype == "int8":
        prepare_int8(network)
    return Predictor(network, description, str(source), compiled=compile)


def refuse_options(source: str | Path, dtype: str, compile: bool) -> None:
    """Refuse options that an exported file cannot follow.

    Raises:
        SettingsError: Another dtype or compilation is requested.
    """
    if dtype not in ("float32", "auto"):
        raise SettingsError(f"dtype {dtype!r}: {source} has its own dtype, chosen when exported")
    if compile:
        raise SettingsError(f"{source} is an exported file: only networks of PyTorch are compiled")


def without_text_branch(checkpoint: "Checkpoint") -> "Checkpoint":
    """Remove OneFormer's text branch, which only training needs."""
    description = checkpoint.description
    description = replace(description, config=replace(description.config, text=None))
    state = {n: t for n, t in checkpoint.state.items() if not n.startswith("text_mapper.")}
    return replace(checkpoint, description=description, state=state)


def read_source(
    source: str | Path,
    access: HubAccess = DEFAULT_ACCESS,
    preprocessing: Preprocessing = "authors",
) -> "Checkpoint":
    """Find and read the weights that `source` names.

    Raises:
        CheckpointError: The weights do not exist, or cannot be read.
        SettingsError: The revision or the preprocessing does not fit the source.
    """
    from unimask.checkpoints import read_authors, read_huggingface

    if preprocessing not in get_args(Preprocessing):
        raise SettingsError(f"unknown preprocessing {preprocessing!r}: choose authors or hub")
    if is_exported(source):
        raise SettingsError(
            f"{source} is an exported file, without weights that can be read back: pass the model "
            "that it was exported from"
        )
    file = find_file(source)
    if file is not None:
        refuse_revision(source, access)
        if preprocessing == "hub":
            raise SettingsError(f"{file} has no preprocessor_config.json: only folders have")
        checkpoint, assumed = read_authors(file)
        if assumed is not None:
            warnings.warn(assumed, LoadWarning, stacklevel=3)
        return checkpoint
    folder = find_folder(source, access)
    if preprocessing == "authors" and lacks_preprocessor_config(folder):
        warnings.warn(
            f"{folder} has no preprocessor_config.json: its family's published sizes, means and "
            "deviations are taken",
            LoadWarning,
            stacklevel=3,
        )
    return read_huggingface(folder, preprocessing)


def lacks_preprocessor_config(folder: Path) -> bool:
    """Return whether a model folder has no description of its preprocessing."""
    described = (folder / "config.json").is_file()
    return described and not any((folder / name).is_file() for name in PREPROCESSOR_FILES)


def refuse_revision(source: str | Path, access: HubAccess) -> None:
    """Raise SettingsError if a revision is given for a source that is not on the Hub.

    Raises:
        SettingsError: A revision is given.
    """
    if access.revision is not None:
        raise SettingsError(f"{source} is not on the Hub: it has no revision {access.revision!r}")


def find_file(source: str | Path) -> Path | None:
    """Return the file in the authors' format that `source` names, or None."""
    path = Path(source).expanduser()
    if str(source) in bundled_names() or not path.is_file():
        return None
    # A safetensors file beside a config.json is read as part of its folder.
    in_folder = path.suffix == ".safetensors" and (path.parent / "config.json").is_file()
    return None if in_folder else path


def find_folder(source: str | Path, access: HubAccess) -> Path:
    """Find the model folder that `source` names, and download it if it is on the Hub."""
    name, path = str(source), Path(source).expanduser()
    here = local_folder(name, path)
    if here is not None:
        refuse_revision(source, access)
        return here
    if path.suffix in WEIGHT_FILES:
        raise CheckpointError(f"{path} does not exist: check the path")
    if is_untrained(name):
        raise CheckpointError(
            f"{name} is an architecture without weights: train it (unimask train DATA --model "
            f"{name}), or {describe_trained_weights(name)}"
        )
    if is_hub_id(name):
        return download(name, access)
    raise CheckpointError(
        f"no model {name!r}: it is neither a bundled name ({', '.join(bundled_names())}), nor a "
        f"folder or file here, nor a Hub id such as {EXAMPLES[0]}"
    )


def find_tokenizer(source: str | Path) -> Path | None:
    """Return the folder of a model, local or on the Hub, if it has a tokenizer, else None.

    Raises:
        CheckpointError: The model does not exist.
    """
    if is_untrained(str(source)) or find_file(source) is not None:
        return None
    folder = find_folder(source, DEFAULT_ACCESS)
    whole = (folder / "tokenizer.json").is_file()
    parts = all((folder / name).is_file() for name in ("vocab.json", "merges.txt"))
    return folder if whole or parts else None


def choose_device(device: str) -> torch.device:
    """Return the device of a name, if it exists on this machine."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        mps = torch.backends.mps.is_available()
        return torch.device("mps" if mps else "cpu")
    try:
        place = torch.device(device)
        torch.empty(1, device=place).item()  # fails for "meta" and missing devices
    except (RuntimeError, AssertionError, NotImplementedError, ValueError, TypeError):
        here = ", ".join(("auto", *available_devices()))
        raise SettingsError(f"device {device!r}: this machine has {here}") from None
    return place


def available_devices() -> tuple[str, ...]:
    """Return the names of this machine's devices, without initialising any."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cuda = ["cuda", *(f"cuda:{index}" for index in range(count))] if count else []
    return ("cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else []))
