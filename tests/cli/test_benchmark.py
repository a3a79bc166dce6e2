"""`unimask benchmark`."""

import json

import pytest

from unimask.profiling import rates as rates_module


@pytest.fixture(autouse=True)
def small_products(monkeypatch):
    monkeypatch.setattr(rates_module, "SHAPES", ((64, 32, 16),))
    monkeypatch.setattr(rates_module, "COPY_BYTES", 2**16)


def test_a_table_and_a_file(command, tiny_model, tmp_path):
    file = tmp_path / "deep" / "speed.json"
    code, printed, _ = command(
        "benchmark", "--model", tiny_model, "--size", "64x80", "--runs", 5, "--device", "cpu",
        "--task", "instance", "--json", file,
    )  # fmt: skip
    assert code == 0
    for part in ("backbone", "transformer decoder", "total", "of the floor", "GFLOP/s", "threads"):
        assert part in printed
    report = json.loads(file.read_text())
    assert report["input_size"] == [64, 96] and report["task"] == "instance"
    assert report["stages"]["backbone"]["median_ms"] > 0


def test_presets_can_be_benchmarked(command):
    code, printed, _ = command(
        "benchmark", "-m", "mask2former-nano", "--size", "64x64", "--runs", 5, "--device", "cpu"
    )
    assert code == 0 and printed.startswith("untrained mask2former-nano: 1 image of 64x64")


@pytest.mark.parametrize("size", ["800", "800x", "0x5", "-3x4", "800X1088", "1e3x5"])
def test_sizes_are_read_or_refused(command, check_error, size):
    code, _, err = command("benchmark", "-m", "nuclei", "--size", size)
    check_error(code, err, size, "HEIGHTxWIDTH")


def test_unknown_models_are_one_line_errors(command, check_error):
    code, _, err = command("benchmark", "-m", "nucleus")
    check_error(code, err, "no model 'nucleus'")
