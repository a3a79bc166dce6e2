"""Read many mutated inputs with every reader, and report failures.

    PYTHONPATH=tests python -m fuzzing [READER ...] [--inputs N] [--seed S] [--workers W]
    PYTHONPATH=tests python -m fuzzing READER --seed S --replay NUMBER

An input may be read, or refused by a `UnimaskError` of one line. It fails if it raises anything
else, takes more than 20 s of CPU time or 2 GiB, or ends the process. Exit code 1 if any failed.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from fuzzing.inputs import Inputs
from fuzzing.readers import READERS
from fuzzing.workers import Report, read_all

MEMORY = Path("/dev/shm")
SHOWN = 8


def main() -> int:
    options = parse_options()
    where = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="unimask-fuzz-", dir=where) as root:
        if options.replay is not None:
            return replay(options, Path(root))
        failed = 0
        print(f"seed {options.seed}, {options.inputs:,} inputs a reader", flush=True)
        print(HEAD, flush=True)
        for name in options.readers or READERS:
            start = time.monotonic()
            report = read_all(
                name, Path(root) / name, options.inputs, options.seed, options.workers
            )
            shutil.rmtree(Path(root) / name, ignore_errors=True)
            print(line_of(name, report, time.monotonic() - start), flush=True)
            print_faults(name, report, options.seed)
            failed += report.failed
    print(f"{failed} failures" if failed else "no failure")
    return int(failed > 0)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzzing", description=__doc__.split("\n")[0])
    parser.add_argument("readers", nargs="*", choices=[[], *READERS], metavar="READER")
    parser.add_argument("--inputs", type=int, default=20_000, help="inputs for each reader")
    parser.add_argument("--seed", type=int, default=0, help="seed of all changes")
    parser.add_argument("--workers", type=int, default=2, help="processes that read")
    parser.add_argument("--replay", type=int, help="read this one input, with its traceback")
    return parser.parse_args()


HEAD = (
    f"{'reader':<16}{'inputs':>8}{'refused':>9}{'accepted':>10}{'failed':>8}"
    f"{'slowest':>10}{'peak':>11}{'time':>9}"
)


def line_of(name: str, report: Report, seconds: float) -> str:
    return (
        f"{name:<16}{report.inputs:>8}{report.refused:>9}{report.accepted:>10}{report.failed:>8}"
        f"{report.slowest:>8.2f} s{report.peak / 2**20:>7.0f} MiB{seconds:>7.0f} s"
    )


def print_faults(name: str, report: Report, seed: int) -> None:
    """Print each kind of failure once, with the command that reproduces it."""
    for fault, numbers in list(report.faults.items())[:SHOWN]:
        print(f"  {len(numbers)} x {fault}")
        print(f"    python -m fuzzing {name} --seed {seed} --replay {numbers[0]}", flush=True)
    if len(report.faults) > SHOWN:
        print(f"  and {len(report.faults) - SHOWN} other kinds")


def replay(options: argparse.Namespace, root: Path) -> int:
    """Read one input, print the outcome, and copy its folder."""
    (name,) = options.readers
    inputs = Inputs(name, root, options.seed)
    inputs.warm_up()
    folder = inputs.write(options.replay)
    copy = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-{options.replay}-")) / "input"
    shutil.copytree(folder, copy, symlinks=True)
    outcome = inputs.read(folder)
    print(outcome.details or f"{outcome.kind} after {outcome.seconds:.2f} s {outcome.fault}")
    print(f"the input is kept in {copy}")
    return int(outcome.kind == "failed")


if __name__ == "__main__":
    sys.exit(main())
