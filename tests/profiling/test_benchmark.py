"""Benchmarks of models by stage, compared with the rates of the machine."""

import json
import mmap

import pytest
import torch
from conftest import TINY_DETR, tiny_checkpoint, with_description

import unimask
from unimask.checkpoints import write_huggingface
from unimask.errors import CheckpointError, SettingsError, TaskError
from unimask.profiling import benchmark
from unimask.profiling import rates as rates_module
from unimask.profiling.machine import describe_machine, instruction_sets, read_cpuinfo
from unimask.profiling.peak_memory import PeakMemory, reset_peak
from unimask.profiling.rates import copy_rate, matrix_rate
from unimask.profiling.stages import PARTS, STAGES

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small_products(monkeypatch):
    """Measure the machine's rates with small products and copies."""
    monkeypatch.setattr(rates_module, "SHAPES", ((64, 32, 16), (32, 64, 64)))
    monkeypatch.setattr(rates_module, "COPY_BYTES", 2**16)


@pytest.fixture
def model(tiny_model):
    return unimask.load(tiny_model, device="cpu")


def test_every_stage_has_its_times_and_its_floor(model):
    report = benchmark(model, size=(64, 80), runs=5)
    assert tuple(report["stages"]) == STAGES
    for name, row in report["stages"].items():
        assert 0 < row["minimum_ms"] <= row["median_ms"]
        assert ("gflop" in row) == (name in PARTS)
    rate = report["rates"]["float32"]
    for row in (*(report["stages"][name] for name in PARTS), report["network"]):
        assert row["floor_ms"] == pytest.approx(1000 * row["gflop"] / rate)
        assert row["floor_percent"] == pytest.approx(100 * row["floor_ms"] / row["median_ms"])
    parts = sum(report["stages"][name]["minimum_ms"] for name in PARTS)
    assert parts <= report["network"]["median_ms"] <= report["total"]["median_ms"]
    assert report["input_size"] == (64, 96) and report["image_size"] == (64, 80)
    assert json.loads(json.dumps(report))["machine"]["torch"] == torch.__version__


def test_detrs_are_measured_like_other_networks(tmp_path):
    write_huggingface(tmp_path, tiny_checkpoint(TINY_DETR))
    report = benchmark(tmp_path, device="cpu", size=(64, 80), runs=5)
    assert tuple(report["stages"]) == STAGES
    assert all(report["stages"][name]["gflop"] > 0 for name in PARTS)


def test_images_go_through_the_model_s_own_rules_by_default(model):
    report = benchmark(model, runs=5)
    assert report["image_size"] == (480, 640) and report["input_size"] == (96, 128)


def test_a_batch_is_one_pass(model):
    one, two = benchmark(model, runs=5), benchmark(model, batch_size=2, runs=5)
    assert two["network"]["gflop"] == pytest.approx(2 * one["network"]["gflop"], rel=0.01)
    assert two["images_per_second"] == pytest.approx(2000 / two["total"]["median_ms"])


def test_the_model_is_not_modified(model):
    before = model.description.preprocessing
    benchmark(model, size=(64, 64), runs=5)
    assert model.description.preprocessing == before
    assert not any(module._forward_hooks for module in model.network.modules())


def test_half_precision_floor_uses_its_own_rate(tiny_model):
    report = benchmark(tiny_model, device="cpu", dtype="bfloat16", size=(64, 64), runs=5)
    assert report["dtype"] == "bfloat16" and set(report["rates"]) == {"float32", "bfloat16", "copy"}
    row = report["network"]
    assert row["floor_ms"] == pytest.approx(1000 * row["gflop"] / report["rates"]["bfloat16"])


@pytest.mark.parametrize("name", ["mask2former-nano", "oneformer-nano", "unimask-nano"])
def test_presets_run_with_random_weights(name):
    report = benchmark(name, size=(64, 64), device="cpu", runs=5)
    assert report["model"] == f"untrained {name}" and report["network"]["gflop"] > 0.1


def test_progress_ends_at_the_announced_total(model):
    steps = []
    benchmark(model, size=(64, 64), runs=5, progress=lambda *step: steps.append(step))
    assert [done for done, _, _ in steps] == list(range(steps[-1][1] + 1))


def test_unmeasurable_inputs_are_refused(model):
    with pytest.raises(SettingsError, match="runs"):
        benchmark(model, runs=4)
    with pytest.raises(SettingsError, match="batch_size"):
        benchmark(model, batch_size=0)
    with pytest.raises(SettingsError, match="size is 0x5"):
        benchmark(model, size=(0, 5))
    with pytest.raises(TaskError, match="colour"):
        benchmark(model, task="colour")
    with pytest.raises(CheckpointError, match="no model 'nucleus'"):
        benchmark("nucleus")


def test_tasks_the_weights_do_not_support_are_refused(tmp_path):
    write_huggingface(tmp_path, with_description(tiny_checkpoint(), tasks=("semantic",)))
    with pytest.raises(TaskError, match="not trained for instance"):
        benchmark(tmp_path, task="instance", device="cpu")


def test_peak_memory_is_that_of_the_work_inside():
    if not reset_peak():
        pytest.skip("this system cannot reset a process's peak memory")
    # Allocate new pages, as the heap may have free ones.
    with PeakMemory(CPU) as large, mmap.mmap(-1, 100_000_000) as pages:
        pages.write(b"1" * 100_000_000)
    with PeakMemory(CPU) as small:
        torch.ones(1000).sum()
    assert large.peak - large.before > 90e6
    assert small.peak - small.before < 50e6


def test_rates_are_positive():
    assert matrix_rate(CPU, torch.float32) > 1e6 and copy_rate(CPU) > 1e6


def test_the_machine_is_described():
    machine = describe_machine(CPU)
    assert machine["cores"] >= 1 and machine["threads"] == torch.get_num_threads()
    assert machine["instructions"] and machine["unimask"] == unimask.__version__


def test_only_relevant_instruction_sets_are_listed():
    cpuinfo = {"flags": "fpu avx2 avx512f amx_tile amx_bf16 sse4_2"}
    assert instruction_sets(cpuinfo) == ["avx2", "avx512f", "amx_tile", "amx_bf16"]
    assert instruction_sets({"Features": "fp asimd bf16"}) == ["asimd", "bf16"]
    assert instruction_sets({}) == [torch.backends.cpu.get_cpu_capability().lower()]
    assert isinstance(read_cpuinfo(), dict)
