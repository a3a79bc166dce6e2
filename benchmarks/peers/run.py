"""Time unimask beside its peers: the same network, the same random weights, in one run.

    python -m benchmarks.peers.run                       # all cases without a result: hours
    python -m benchmarks.peers.run --case swin-tiny-384x384 --case training-step --again
    python -m benchmarks.peers.run --list

Run it in an environment of `benchmarks/requirements.txt`. Each system runs in a separate process;
ours and one peer run in turns, so that neither the order nor other work on the machine matters.
Their outputs are compared in the same run. One file per case is written to
`benchmarks/results/peers/`; cases that have one are skipped, so that an interrupted run can
continue. Tables and plots: `benchmarks/speed_report.py`.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from benchmarks.peers import inference, training
from benchmarks.peers.agreement import Logits, measure_agreement
from benchmarks.peers.cases import CASES, FLOAT, TRAINING, Case, TrainingCase
from benchmarks.peers.process import PeerError, Process
from unimask.profiling.machine import usable_cores

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "peers"
MODELS = ROOT / "build" / "peers"


def log(text: str) -> None:
    """Print a line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def summary(turns: list[dict]) -> dict:
    """Summarise the times and the memory of one side."""
    times = [turn["seconds"] for turn in turns]
    peaks = [turn["peak_mb"] for turn in turns if turn["peak_mb"]]
    statistics = {"median_s": median(times), "minimum_s": min(times), "times_s": times}
    return {**statistics, "peak_mb": max(peaks, default=None)}


def take_turns(ours: Process, theirs: Process | None, rounds: int) -> dict:
    """Run both in alternation; each is first in every other round."""
    sides = {"ours": ours} if theirs is None else {"ours": ours, "theirs": theirs}
    turns: dict[str, list[dict]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in sorted(sides, reverse=bool(number % 2)):
            turns[name].append(sides[name].ask("run"))
    found = {name: summary(done) for name, done in turns.items()}
    if theirs is not None:
        medians, least = ([found[side][key] for side in sides] for key in ("median_s", "minimum_s"))
        found["ratio"], found["ratio_of_minima"] = medians[0] / medians[1], least[0] / least[1]
    return found


def measure(case: Case, folder: Path) -> dict:
    """Measure a case: ours against each peer in turn."""
    with Process(inference.prepare_facts, case.network, case, folder) as process:
        facts = {name: process.ask(name) for name in ("machine", "rates", "gflop")}
    reference: Logits | None = None
    pairs = []
    for kind in dict.fromkeys(kind for _, kind in case.peers):
        with Process(inference.prepare, case.ours, kind, case, folder) as ours:
            for peer in (name for name, of in case.peers if of == kind):
                pair: dict = {"peer": peer, "kind": kind}
                log(f"  {kind}: {case.ours} and {peer} ...")
                try:
                    with Process(inference.prepare, peer, kind, case, folder) as theirs:
                        pair.update(
                            take_turns(ours, theirs, case.rounds), start_s=theirs.start_seconds
                        )
                        outputs = ours.ask("output"), theirs.ask("output")
                except PeerError as error:
                    pair["error"] = str(error)
                else:
                    if reference is None and kind == FLOAT:
                        reference = outputs[1]
                    assert reference is not None, "float32 comes first"
                    pair["agreement"] = measure_agreement(*outputs, reference, kind)
                log(f"  {kind}: {format_pair(pair)}")
                pairs.append(pair)
    return {**case.facts(), **facts, "pairs": pairs}


def measure_training(case: TrainingCase, folder: Path) -> dict:
    """Measure training steps: ours alone, or against `transformers`."""
    with Process(inference.prepare_facts, case.network, None, folder) as process:
        facts = {name: process.ask(name) for name in ("machine", "rates")}
    pairs = []
    for kind in case.kinds:
        pair: dict = {"peer": "transformers" if case.peer else None, "kind": kind}
        log(f"  {kind}: steps ...")
        arguments = kind, case, folder
        with Process(training.prepare, "unimask", *arguments) as ours:
            if case.peer:
                with Process(training.prepare, "transformers", *arguments) as theirs:
                    pair.update(take_turns(ours, theirs, case.rounds))
                    losses = ours.ask("loss"), theirs.ask("loss")
                close = abs(losses[0] / losses[1] - 1)
                pair["agreement"] = {"losses": losses, "good": close < 0.05}
            else:
                pair.update(take_turns(ours, None, case.rounds))
        log(f"  {kind}: {format_pair(pair)}")
        pairs.append(pair)
    return {**case.facts(), **facts, "pairs": pairs}


def format_pair(pair: dict) -> str:
    """Format the result of a pair in one line."""
    if "error" in pair:
        return f"{pair['peer']} failed: {pair['error']}"
    ours, theirs = pair["ours"], pair.get("theirs")
    memory = f"{ours['peak_mb'] or 0:.0f} MB"
    if theirs is None:
        return f"unimask {ours['median_s']:.2f} s, {memory}"
    agreed = "outputs agree" if pair["agreement"]["good"] else f"DIFFERENT: {pair['agreement']}"
    return (
        f"unimask {ours['median_s']:.3f} s, {memory}; {pair['peer']} {theirs['median_s']:.3f} s, "
        f"{theirs['peak_mb'] or 0:.0f} MB; ratio {pair['ratio']:.2f} "
        f"({pair['ratio_of_minima']:.2f} of minima); {agreed}"
    )


def run(name: str, models: Path, results: Path, rounds: int | None) -> bool:
    """Measure one case, write its file, and return whether all outputs agree."""
    case = CASES.get(name) or TRAINING[name]
    case = replace(case, rounds=rounds or case.rounds)
    folder = models / case.network.name
    start = time.perf_counter()
    log(f"{name}: preparing {case.network.name}")
    found = measure(case, folder) if isinstance(case, Case) else measure_training(case, folder)
    results.mkdir(parents=True, exist_ok=True)
    partial = results / f".{name}.json"
    partial.write_text(json.dumps(found, indent=1) + "\n")
    partial.replace(results / f"{name}.json")
    log(f"{name}: done in {(time.perf_counter() - start) / 60:.1f} minutes")
    return all(pair.get("agreement", {"good": True})["good"] for pair in found["pairs"])


def main() -> int:
    """Measure the chosen cases; return 1 if outputs differed or a case failed."""
    parser = argparse.ArgumentParser(description="Time unimask beside its peers.")
    known = [*CASES, *TRAINING]
    parser.add_argument(
        "--case",
        action="append",
        choices=known,
        metavar="NAME",
        help="measure only this case; may be repeated",
    )
    parser.add_argument("--list", action="store_true", help="list the cases")
    parser.add_argument(
        "--again", action="store_true", help="also measure cases that have a result"
    )
    parser.add_argument("--rounds", type=int, help="number of rounds; by default that of the case")
    parser.add_argument(
        "--threads", type=int, default=usable_cores(), help="threads of each system"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--models", type=Path, default=MODELS, help="folder for random weights")
    arguments = parser.parse_args()
    if arguments.list:
        for name in known:
            print(f"{name:32} {'measured' if (RESULTS / f'{name}.json').is_file() else ''}")
        return 0
    torch.set_num_threads(arguments.threads)
    names = arguments.case or known
    done = {name for name in names if (arguments.results / f"{name}.json").is_file()}
    wrong = []
    for name in names:
        if name in done and not arguments.again:
            log(f"{name}: measured before")
            continue
        try:
            if not run(name, arguments.models, arguments.results, arguments.rounds):
                wrong.append(f"{name}: outputs differ")
        except PeerError as error:
            wrong.append(f"{name}: {error}")
        for problem in wrong[-1:]:
            log(problem)
    for problem in wrong:
        print(problem, file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
