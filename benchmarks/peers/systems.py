"""Systems that `benchmarks.peers.run` compares: each is a function from images to logits."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.peers.cases import HALF, INT8, Case
from benchmarks.peers.networks import Logits, images, read

Run = Callable[[Tensor], tuple[np.ndarray, np.ndarray]]

CALIBRATION_SEEDS = range(1, 9)
"""Seeds of the images on which int8 of OpenVINO is calibrated."""


def start(system: str, kind: str, case: Case, folder: Path) -> Run:
    """Load a system with the weights of a folder.

    Args:
        system: Name of the system.
        kind: "float32", "bfloat16" or "int8".
        case: Network and image size.
        folder: Folder of weights in the Hugging Face schema.
    """
    return SYSTEMS[system](kind, case, folder)


def arrays(class_logits: Tensor, mask_logits: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return logits as float32 arrays."""
    return class_logits.float().numpy(), mask_logits.float().numpy()


def start_unimask(kind: str, case: Case, folder: Path) -> Run:
    """Load our model as users do."""
    import unimask

    predictor = unimask.load(folder, device="cpu", dtype=kind)  # type: ignore[arg-type]

    def run(pixel_values: Tensor) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            output = predictor.network(pixel_values.to(predictor.dtype), "panoptic")
        return arrays(output.class_logits, output.mask_logits)

    return run


def start_unimask_onnx(kind: str, case: Case, folder: Path) -> Run:
    """Export our model as users do, and run it with ONNX Runtime."""
    return run_exported("onnx", kind, case, folder)


def start_unimask_openvino(kind: str, case: Case, folder: Path) -> Run:
    """Export our model as users do, and run it with OpenVINO."""
    return run_exported("openvino", kind, case, folder)


def run_exported(format: str, kind: str, case: Case, folder: Path) -> Run:
    """Export our model for the size and batch of a case, and load the file.

    `unimask export` also compares the decisions of the file with those of the network, which random
    weights make arbitrary; here, logits are compared in the run itself.
    """
    import unimask
    from unimask.export import ExportSettings
    from unimask.export.export import capture_network, describe_graph, write_graph
    from unimask.export.formats import ONNX, OPENVINO
    from unimask.export.onnx_graph import to_onnx

    model = unimask.load(folder, device="cpu")
    settings = ExportSettings(size=case.size, batch=case.batch, precision=kind)  # type: ignore[arg-type]
    description = describe_graph(model, settings)
    rules = description.preprocessing
    mean, std = (torch.tensor(values)[:, None, None] for values in (rules.mean, rules.std))
    shown = [images(1, case.size, seed)[0] * std + mean for seed in CALIBRATION_SEEDS]
    calibration = [image.clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy() for image in shown]
    graph = to_onnx(capture_network(model, description, print), description, settings.opset)
    target, suffix = (ONNX, ".onnx") if format == "onnx" else (OPENVINO, ".xml")
    with tempfile.TemporaryDirectory() as root:
        path = Path(root) / f"network{suffix}"
        write_graph(target, graph, description, path, settings, calibration)
        exported = unimask.load(path, device="cpu")

        def run(pixel_values: Tensor) -> tuple[np.ndarray, np.ndarray]:
            # The graph normalises its input itself.
            output = exported.network(pixel_values * std + mean, "panoptic")
            return arrays(output.class_logits, output.mask_logits)

        run(images(case.batch, case.size))  # compiles, after which the file may go
    return run


def logits_of(case: Case, folder: Path) -> Logits:
    """Load `transformers`' network for prediction."""
    model = Logits(read(case.network, folder), case.network, case.batch)
    return model.eval().requires_grad_(False)


def start_transformers(kind: str, case: Case, folder: Path) -> Run:
    """Run `transformers` eagerly, under autocast for bfloat16."""
    return torch_run(logits_of(case, folder), kind)


def start_compiled(kind: str, case: Case, folder: Path) -> Run:
    """Compile `transformers` for one size."""
    if not shutil.which("g++") and not shutil.which("clang++"):
        raise RuntimeError("no C++ compiler: torch.compile needs one")
    model = torch.compile(logits_of(case, folder), dynamic=False)
    return torch_run(model, kind)  # type: ignore[arg-type]


def torch_run(model: torch.nn.Module, kind: str) -> Run:
    """Run a PyTorch network."""

    def run(pixel_values: Tensor) -> tuple[np.ndarray, np.ndarray]:
        with (
            torch.inference_mode(),
            torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == HALF),
        ):
            return arrays(*model(pixel_values))

    return run


def start_openvino(kind: str, case: Case, folder: Path) -> Run:
    """Convert `transformers`' network for one size and run it with OpenVINO in `kind`."""
    import openvino  # pyright: ignore[reportMissingImports]

    example = torch.zeros(case.batch, 3, *case.size)
    with torch.no_grad():
        converted = openvino.convert_model(
            logits_of(case, folder), example_input=example, input=[list(example.shape)]
        )
    if kind == INT8:
        converted = quantise(converted, case)
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if kind == HALF else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(converted, "CPU", settings)

    def run(pixel_values: Tensor) -> tuple[np.ndarray, np.ndarray]:
        found = compiled(pixel_values.numpy())
        return np.array(found[0]), np.array(found[1])

    return run


def quantise(model: Any, case: Case) -> Any:
    """Quantise an OpenVINO model to int8 by NNCF, with its settings for transformers."""
    import nncf  # pyright: ignore[reportMissingImports]

    samples = [images(case.batch, case.size, seed).numpy() for seed in CALIBRATION_SEEDS]
    return nncf.quantize(
        model,
        nncf.Dataset(samples),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(samples),
    )


def start_onnx(kind: str, case: Case, folder: Path) -> Run:
    """Export `transformers`' network for one size and run it with ONNX Runtime."""
    import onnxruntime  # pyright: ignore[reportMissingImports]

    with tempfile.TemporaryDirectory() as root:
        path = Path(root) / "network.onnx"
        example = torch.zeros(case.batch, 3, *case.size)
        torch.onnx.export(
            logits_of(case, folder), (example,), str(path), dynamo=True, verbose=False,
            input_names=["pixel_values"], output_names=["class_logits", "mask_logits"],
        )  # fmt: skip
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(pixel_values: Tensor) -> tuple[np.ndarray, np.ndarray]:
        class_logits, mask_logits = session.run(None, {"pixel_values": pixel_values.numpy()})
        return np.asarray(class_logits), np.asarray(mask_logits)

    return run


SYSTEMS: dict[str, Callable[[str, Case, Path], Run]] = {
    "unimask": start_unimask,
    "unimask, ONNX Runtime": start_unimask_onnx,
    "unimask, OpenVINO": start_unimask_openvino,
    "transformers": start_transformers,
    "torch.compile": start_compiled,
    "OpenVINO": start_openvino,
    "ONNX Runtime": start_onnx,
}
