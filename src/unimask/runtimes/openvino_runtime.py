"""Exported OpenVINO files (IR: .xml and .bin) in OpenVINO."""

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import torch

from unimask.errors import CheckpointError, MissingExtraError, SettingsError, one_line
from unimask.runtimes.foreign import GraphRules, describe_graph
from unimask.runtimes.metadata import weights_path
from unimask.runtimes.network import Arrays, RuntimeNetwork
from unimask.runtimes.signature import Signature, TensorSpec

if TYPE_CHECKING:
    from openvino import CompiledModel, Core, Model, Output  # pyright: ignore[reportMissingImports]

METADATA_SECTION = "unimask"
"""Section of the file's `rt_info` with the metadata."""

DTYPES = {"f32": "float32", "u8": "uint8", "i64": "int64"}
"""NumPy's names of dtypes by OpenVINO's."""

DEVICES = {"auto": "CPU", "cpu": "CPU", "gpu": "GPU", "npu": "NPU"}
"""OpenVINO's names of devices; "gpu" is Intel's."""


class OpenVinoNetwork(RuntimeNetwork):
    """Network of an OpenVINO file.

    Args:
        path: The .xml file, with its .bin beside it.
        device: "auto" or "cpu", or "gpu" (or "gpu:1") or "npu" of Intel.
        rules: Labels and rules of a file of another program; None for files of unimask.

    Raises:
        CheckpointError: The file is damaged, of another program, or needs a newer OpenVINO.
        MissingExtraError: OpenVINO is not installed.
        SettingsError: The device is not available.
    """

    runtime = "openvino"

    def __init__(self, path: Path, device: str = "auto", rules: GraphRules | None = None) -> None:
        core, model = read_model(path)
        self.signature = read_signature(model)
        described = describe_graph(read_metadata(model), self.signature, rules, str(path))
        super().__init__(described.description, path, described.names)
        self.core, self.model = core, model
        self.target = choose_device(device, core.available_devices)
        self.compiled: dict[int | None, CompiledModel] = {}
        self.lock = Lock()  # a compiled model has one request

    def run(self, inputs: Arrays) -> tuple[np.ndarray, np.ndarray]:
        """Compute class and mask logits of the inputs by name.

        Raises:
            SettingsError: OpenVINO cannot compute them, for example for lack of memory.
        """
        batch = len(inputs[self.names.pixel_values])
        try:
            with self.lock:
                outputs = self.compile_for(batch)(
                    {index: inputs[name] for index, name in enumerate(self.signature.inputs)}
                )
        except Exception as error:  # OpenVINO's errors have no common type
            raise SettingsError(f"{self.path} fails in OpenVINO: {one_line(error)}") from None
        order = list(self.signature.outputs)
        names = self.names.class_logits, self.names.mask_logits
        classes, masks = (np.array(outputs[order.index(name)]) for name in names)
        return classes, masks

    def compile_for(self, batch: int) -> "CompiledModel":
        """Return the model compiled for one image, which is faster, or for any number."""
        size = 1 if batch == 1 else None
        if size not in self.compiled:
            model = self.model
            if size == 1 and model.is_dynamic():
                model = model.clone()
                shapes = {port: (1, *port.partial_shape[1:]) for port in model.inputs}
                model.reshape({port: list(shape) for port, shape in shapes.items()})
            settings = {
                "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 on some processors
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "PERFORMANCE_HINT": "LATENCY",
            }
            if not self.target.startswith("CPU"):
                del settings["INFERENCE_NUM_THREADS"]
            self.compiled[size] = self.core.compile_model(model, self.target, settings)
        return self.compiled[size]


def read_model(path: Path) -> tuple["Core", "Model"]:
    """Read a file without compiling it.

    Raises:
        CheckpointError: A file is missing or damaged, or has operators of a newer OpenVINO.
        MissingExtraError: OpenVINO is not installed.
    """
    weights = weights_path(path)
    for file in (path, weights):
        if not file.is_file():
            raise CheckpointError(f"{file} does not exist: {path} needs {weights.name} beside it")
    try:
        import openvino  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise MissingExtraError("openvino", "openvino") from None
    core = openvino.Core()
    try:
        return core, core.read_model(str(path), str(weights))
    except Exception as error:  # OpenVINO's errors have no common type
        text = " ".join(str(error).split())
        if "opset" in text.lower():
            raise CheckpointError(
                f"{path} has an opset that OpenVINO {openvino.__version__} does not read: update "
                "openvino, or export again with this one"
            ) from None
        raise CheckpointError(
            f"{path} cannot be read by OpenVINO: {shorten(text)}; export the model again"
        ) from None


def shorten(text: str) -> str:
    """Return the end of an OpenVINO error, behind the places in its source code."""
    return text.rpartition(": ")[2][:200] if ".cpp:" not in text else text.split(".cpp:")[-1][:200]


def read_metadata(model: "Model") -> dict[str, str]:
    """Return the metadata of a file; empty for files of other programs."""
    if not model.has_rt_info([METADATA_SECTION]):
        return {}
    entries = model.get_rt_info([METADATA_SECTION]).value
    if not isinstance(entries, dict):
        return {}
    return {key: value for key, value in entries.items() if isinstance(value, str)}


def read_signature(model: "Model") -> Signature:
    """Return the inputs and outputs of a graph in order; those without a name get a number."""
    inputs, outputs = (
        {
            port.get_any_name() if port.names else f"{kind} {index}": tensor_spec(port)
            for index, port in enumerate(ports)
        }
        for kind, ports in (("input", model.inputs), ("output", model.outputs))
    )
    return Signature(inputs, outputs)


def tensor_spec(port: "Output") -> TensorSpec:
    """Return the format of an input or output."""
    dtype: str = port.get_element_type().to_string()
    sides = (side.get_length() if side.is_static else None for side in port.partial_shape)
    return TensorSpec(DTYPES.get(dtype, dtype), tuple(sides))


def choose_device(device: str, available: list[str]) -> str:
    """Return OpenVINO's name of a device.

    Raises:
        SettingsError: The device is unknown, or this machine does not have it.
    """
    kind, _, index = device.partition(":")
    if kind not in DEVICES or (index and not index.isdigit()):
        raise SettingsError(f"device {device!r}: an OpenVINO file runs on auto, cpu, gpu or npu")
    name = f"{DEVICES[kind]}.{index}" if index else DEVICES[kind]
    if name not in available and name.partition(".")[0] not in available:
        raise SettingsError(
            f"device {device!r}: OpenVINO finds only {', '.join(available)} on this machine"
        )
    return name
