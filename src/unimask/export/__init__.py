"""Export of trained models as graphs for other runtimes."""

from unimask.export.export import ExportReport, ExportSettings, export_onnx, export_openvino
from unimask.export.formats import GRAPH_FORMATS

__all__ = ["GRAPH_FORMATS", "ExportReport", "ExportSettings", "export_onnx", "export_openvino"]
