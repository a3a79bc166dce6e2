"""Inference cases of `benchmarks/peers/run.py`: request handlers of a system and of the machine."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import unimask
from benchmarks.peers.cases import FLOAT, Case, Network
from benchmarks.peers.networks import images, silence_logs, write
from benchmarks.peers.process import timed
from benchmarks.peers.systems import start
from unimask.profiling.machine import describe_machine
from unimask.profiling.rates import copy_rate, matrix_rate
from unimask.profiling.stages import count_flops

CPU = torch.device("cpu")


def prepare(system: str, kind: str, case: Case, folder: Path) -> dict[str, Callable]:
    """Return a process's request handlers: a timed pass, and its output."""
    silence_logs()
    run = start(system, kind, case, folder)
    pixel_values = images(case.batch, case.size)
    output: list[tuple[np.ndarray, np.ndarray]] = [run(pixel_values)]
    run(pixel_values)

    def once() -> None:
        output[0] = run(pixel_values)

    return {"run": timed(once), "output": lambda: output[0]}


def prepare_facts(network: Network, case: Case | None, folder: Path) -> dict[str, Callable]:
    """Write the network, and return request handlers that describe it and the machine."""
    silence_logs()
    write(network, folder)

    def gflop() -> float:
        assert case is not None
        one = replace(case, batch=1)
        model = unimask.load(folder, device="cpu").network
        with torch.no_grad():
            counted = count_flops(model, lambda: model(images(1, one.size), "panoptic"))
        return case.batch * counted["network"] / 1e9

    return {"gflop": gflop, "machine": lambda: describe_machine(CPU), "rates": rates}


def rates() -> dict[str, float]:
    """Measure the machine: GFLOP/s and GB/s."""
    kinds = {FLOAT: torch.float32, "bfloat16": torch.bfloat16}
    best = {name: matrix_rate(CPU, kind) / 1e9 for name, kind in kinds.items()}
    return {**best, "copy": copy_rate(CPU) / 1e9}
