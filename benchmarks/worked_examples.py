"""Run the code blocks of a worked example, and save the time of each and the scores.

    python -m benchmarks.worked_examples docs/example_defects.md FOLDER

FOLDER holds the data as the page fetches them, and gets what the page writes. Blocks of `sh` run
line by line, blocks of `python` as one program each. Lines that fetch data (`git clone`, `curl`)
are not run. FOLDER gets `example_defects.json`: the commands with their times in seconds, what
Python programs printed, and the scores that `unimask evaluate --json` wrote. After a failure all
commands run again, except for finished trainings; move away first what the others wrote.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from unimask.formats.atomic import atomic_path
from unimask.profiling.machine import describe_machine

BLOCK = re.compile(r"^```(?P<language>sh|python)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
FETCHING = ("git clone ", "curl ")
SCORES = ("images", "metrics", "per_class", "volumes")
"""Entries of a report of `unimask evaluate` that are saved."""


def commands(page: str) -> list[tuple[str, str]]:
    """Return the language and the code of each command of a page, without those that fetch data."""
    found = []
    for block in BLOCK.finditer(page):
        if block["language"] == "python":
            found.append(("python", block["code"]))
        else:
            lines = block["code"].replace("\\\n", "").splitlines()
            found += [("sh", line) for line in lines if not line.startswith(FETCHING)]
    return found


def run(language: str, code: str, folder: Path) -> dict[str, Any]:
    """Run a command in a folder; return its code, its time and what a program printed."""
    words = ["bash", "-c", code] if language == "sh" else [sys.executable, "-c", code]
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    start = time.perf_counter()
    done = subprocess.run(
        words, cwd=folder, check=True, text=True, env=os.environ | {"PATH": paths},
        stdout=subprocess.PIPE if language == "python" else None,
    )  # fmt: skip
    entry: dict[str, Any] = {"code": code, "seconds": round(time.perf_counter() - start, 1)}
    return entry | ({"printed": done.stdout} if done.stdout else {})


def scores(folder: Path) -> dict[str, Any]:
    """Return the scores of each report in a folder, by file name."""
    reports = {path.name: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    return {
        name: {key: report[key] for key in SCORES if key in report}
        for name, report in reports.items()
        if "metrics" in report
    }


def finished_trainings(file: Path) -> dict[str, dict[str, Any]]:
    """Return the trainings that a saved result lists, by command."""
    entries = json.loads(file.read_text())["commands"] if file.exists() else []
    return {entry["code"]: entry for entry in entries if entry["code"].startswith("unimask train")}


def main() -> None:
    """Run all commands of a page, and save times and scores."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    file = options.folder / f"{options.page.stem}.json"
    finished = finished_trainings(file)
    entries: list[dict[str, Any]] = []
    for language, code in commands(options.page.read_text(encoding="utf-8")):
        print(code, flush=True)
        entries.append(finished.get(code) or run(language, code, options.folder))
        result = {
            "machine": describe_machine(torch.device("cpu")),
            "commands": entries,
            "scores": scores(options.folder),
        }
        with atomic_path(file) as path:
            path.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
