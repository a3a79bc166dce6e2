"""Export of trained models as graphs for other runtimes."""

from unimask.export.export import ExportReport, ExportSettings, check_output, export_onnx

__all__ = ["ExportReport", "ExportSettings", "check_output", "export_onnx"]
