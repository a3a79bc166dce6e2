"""Formats of exported graphs: their files, and the packages that write them."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from unimask.errors import MissingExtraError, SettingsError
from unimask.formats.output_file import check_output_files, is_written_by_unimask
from unimask.runtimes.metadata import weights_path

Precision = Literal["float32", "float16", "int8"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphFormat:
    """A format of exported graphs.

    Attributes:
        name: Name on the command line.
        suffix: Suffix of the file.
        extra: Extra of unimask that installs the packages.
        packages: Packages that write and run the file.
        precisions: Precisions that can be written.
    """

    name: str
    suffix: str
    extra: str
    packages: tuple[str, ...]
    precisions: tuple[Precision, ...]

    def check_output(self, path: Path, precision: str, *, overwrite: bool = False) -> None:
        """Refuse a path or a precision that cannot be written, before the model is loaded.

        Args:
            path: File to write. Weights may be written to a second file beside it.
            precision: Precision of the weights.
            overwrite: Whether files that unimask did not write may be replaced.

        Raises:
            MissingExtraError: A package is not installed.
            OutputError: The folder is not writable, the path is a folder, or a file is in the way.
            SettingsError: The path has another suffix, or the format lacks the precision.
        """
        if precision not in self.precisions:
            known = ", ".join(self.precisions)
            raise SettingsError(f"precision {precision!r}: {self.name} is written in {known}")
        quantiser = ("nncf",) if precision == "int8" else ()
        for package in (*self.packages, *quantiser):
            if find_spec(package) is None:
                raise MissingExtraError(package, self.extra)
        if path.suffix.lower() != self.suffix:
            raise SettingsError(f"{path}: name the file with the suffix {self.suffix}")
        has_own_weights = is_written_by_unimask(path)  # those of a graph that unimask wrote
        weights = None if has_own_weights else weights_path(path)
        check_output_files(path, weights, overwrite=overwrite)


ONNX = GraphFormat(
    name="onnx",
    suffix=".onnx",
    extra="export",
    packages=("onnx", "onnxscript", "onnxruntime"),
    precisions=("float32",),
)
OPENVINO = GraphFormat(
    name="openvino",
    suffix=".xml",
    extra="openvino",
    packages=("onnx", "onnxscript", "openvino"),
    precisions=("float32", "float16", "int8"),
)
GRAPH_FORMATS = {format.name: format for format in (ONNX, OPENVINO)}
