"""Exported ONNX files in ONNX Runtime."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from unimask.errors import CheckpointError, MissingExtraError, SettingsError, one_line
from unimask.runtimes.foreign import GraphRules, describe_graph
from unimask.runtimes.network import Arrays, RuntimeNetwork
from unimask.runtimes.signature import Signature, TensorSpec

if TYPE_CHECKING:
    from onnxruntime import InferenceSession  # pyright: ignore[reportMissingImports]

DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int64)": "int64"}
"""NumPy's names of dtypes by ONNX Runtime's."""


class OnnxNetwork(RuntimeNetwork):
    """Network of an ONNX file.

    Args:
        path: The file.
        device: "auto" or "cpu", or "cuda" (or "cuda:1") with onnxruntime-gpu.
        rules: Labels and rules of a file of another program; None for files of unimask.

    Raises:
        CheckpointError: The file is damaged, of another program, or needs a newer runtime.
        MissingExtraError: ONNX Runtime is not installed.
        SettingsError: The device is not available.
    """

    runtime = "onnxruntime"

    def __init__(self, path: Path, device: str = "auto", rules: GraphRules | None = None) -> None:
        session = open_session(path, device)
        metadata = session.get_modelmeta().custom_metadata_map
        described = describe_graph(metadata, read_signature(session), rules, str(path))
        super().__init__(described.description, path, described.names)
        self.session = session

    def run(self, inputs: Arrays) -> tuple[np.ndarray, np.ndarray]:
        """Compute class and mask logits of the inputs by name.

        Raises:
            SettingsError: The runtime cannot compute them, for example for lack of memory.
        """
        try:
            outputs = self.names.class_logits, self.names.mask_logits
            classes, masks = self.session.run(outputs, inputs)
        except Exception as error:  # ONNX Runtime's errors have no common type
            raise SettingsError(f"{self.path} fails in ONNX Runtime: {one_line(error)}") from None
        return classes, masks  # type: ignore[return-value]


def open_session(path: Path, device: str) -> "InferenceSession":
    """Open an ONNX file with as many threads as PyTorch uses.

    Raises:
        CheckpointError: The file does not exist or is damaged, or its opset is too new.
        MissingExtraError: ONNX Runtime is not installed.
        SettingsError: The device is not available.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist: check the path")
    try:
        import onnxruntime  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise MissingExtraError("onnxruntime", "export") from None
    providers = choose_providers(device, onnxruntime.get_available_providers())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors only
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime's errors have no common type
        text = one_line(error, 300)
        if "opset" in text.lower():
            raise CheckpointError(
                f"{path} has an opset that ONNX Runtime {onnxruntime.__version__} does not read: "
                "update onnxruntime, or export again with --opset 17"
            ) from None
        raise CheckpointError(
            f"{path} cannot be read by ONNX Runtime: {text}; export the model again"
        ) from None


def choose_providers(device: str, available: list[str]) -> list[str | tuple[str, dict[str, int]]]:
    """Return ONNX Runtime's execution providers for a device.

    Raises:
        SettingsError: This installation has none for the device.
    """
    kind, _, index = device.partition(":")
    has_cuda = "CUDAExecutionProvider" in available
    if kind == "cpu" or (kind == "auto" and not has_cuda):
        return ["CPUExecutionProvider"]
    if kind in ("auto", "cuda") and has_cuda:
        number = int(index) if index.isdigit() else 0
        return [("CUDAExecutionProvider", {"device_id": number}), "CPUExecutionProvider"]
    if kind == "cuda":
        raise SettingsError(f"device {device!r}: ONNX Runtime needs onnxruntime-gpu for it")
    raise SettingsError(f"device {device!r}: an ONNX file runs on auto, cpu or cuda")


def read_signature(session: "InferenceSession") -> Signature:
    """Return the inputs and outputs of a graph."""
    inputs, outputs = (
        {
            node.name: TensorSpec(
                DTYPES.get(str(node.type), str(node.type)),
                tuple(side if isinstance(side, int) else None for side in node.shape),
            )
            for node in nodes
        }
        for nodes in (session.get_inputs(), session.get_outputs())
    )
    return Signature(inputs, outputs)
