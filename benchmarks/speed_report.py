"""Write the tables and plots of docs/speed.md from the saved results.

    python -m benchmarks.speed_report

Each table replaces the text between two markers in the document. A table without results says so.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

from benchmarks.marked_tables import replace_table
from benchmarks.peers.cases import (
    CLASSES,
    EXPORTS,
    FLOAT,
    HALF,
    MAIN,
    QUERIES,
    SIDES,
    TRAINING,
    Case,
)

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENT = ROOT / "docs" / "speed.md"
IMAGES = ROOT / "docs" / "images"
NONE = "Not measured yet."
GROWTH = {"side": SIDES, "queries": QUERIES, "classes": CLASSES}
COLOURS = {
    "unimask": "#1b7f5c",
    "transformers": "#c2571a",
    "OpenVINO": "#5b6abf",
    "torch.compile": "#8a8a8a",
    "ONNX Runtime": "#b79a2d",
}

Result = dict[str, Any]


def results() -> dict[str, Result]:
    """Read the saved results of `benchmarks/peers/run.py`, by case."""
    files = sorted((RESULTS / "peers").glob("*.json"))
    return {path.stem: json.loads(path.read_text()) for path in files}


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """Format a Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) if rows else NONE


def agreement(pair: Result) -> str:
    """Format the agreement of the outputs of a pair."""
    found = pair["agreement"]
    if "same_side" in found:
        return (
            f"{100 * found['same_side']['ours']:.1f} / {100 * found['same_side']['theirs']:.1f} %"
        )
    if "losses" in found:
        return f"{100 * abs(found['losses'][0] / found['losses'][1] - 1):.1f} %"
    return f"{found['typical']:.0e} / {found['greatest']:.0e}"


def peers_table(found: dict[str, Result]) -> str:
    """Format the comparison with every peer, case by case."""
    return pairs_table(found, MAIN)


def exports_table(found: dict[str, Result]) -> str:
    """Format the comparison of int8 and of exported graphs."""
    return pairs_table(found, EXPORTS)


def pairs_table(found: dict[str, Result], cases: tuple[Case, ...]) -> str:
    """Format a row for each pair of systems."""
    rows = []
    for case in (case.name for case in cases if case.name in found):
        for pair in found[case]["pairs"]:
            who = (case, pair["kind"], pair["peer"])
            if "error" in pair:
                rows.append((*who, "", f"failed: {pair['error']}", "", "", ""))
                continue
            ours, theirs = pair["ours"], pair["theirs"]
            times = f"{ours['median_s']:.2f}", f"{theirs['median_s']:.2f}"
            ratios = f"**{pair['ratio']:.2f}**", f"{pair['ratio_of_minima']:.2f}"
            rows.append((*who, *times, *ratios, agreement(pair)))
    head = (
        "case", "dtype", "peer", "unimask (s)", "peer (s)", "ratio", "ratio of minima", "agreement",
    )  # fmt: skip
    return table(head, rows)


def quickest(found: Result, kind: str) -> float:
    """Return the smallest median time of unimask over the pairs of a case, in seconds."""
    pairs = [pair for pair in found["pairs"] if pair["kind"] == kind and "ours" in pair]
    return min((pair["ours"]["median_s"] for pair in pairs), default=float("nan"))


def floors_table(found: dict[str, Result]) -> str:
    """Format the comparison with the lower bound that the machine sets."""
    rows = []
    for case in (case.name for case in MAIN if case.name in found):
        for kind in (FLOAT, HALF):
            result, ours = found[case], quickest(found[case], kind)
            rate = result["rates"][kind]
            floor = result["gflop"] / rate
            rows.append(
                (case, kind, f"{result['gflop']:.0f}", f"{rate:.0f}", f"{floor:.2f}",
                 f"{ours:.2f}", f"{100 * floor / ours:.0f} %")
            )  # fmt: skip
    head = (
        "case", "dtype", "GFLOP", "peak GFLOP/s", "floor (s)", "unimask (s)", "floor / unimask",
    )  # fmt: skip
    return table(head, rows)


def growth_table(found: dict[str, Result]) -> str:
    """Format time and memory over image side, queries and classes."""
    rows = []
    for name, values in GROWTH.items():
        for value in values:
            for pair in found.get(f"{name}-{value}", {"pairs": []})["pairs"]:
                who = (f"{name} {value}", pair["kind"], pair["peer"])
                if "error" in pair:
                    rows.append((*who, "", f"failed: {pair['error']}", "", ""))
                    continue
                sides = pair["ours"], pair["theirs"]
                times = (f"{side['median_s']:.2f}" for side in sides)
                peaks = " / ".join(f"{side['peak_mb']:.0f}" for side in sides)
                rows.append((*who, *times, f"{pair['ratio']:.2f}", peaks))
    head = (
        "case", "dtype", "peer", "unimask (s)", "peer (s)", "ratio",
        "peak memory, unimask / peer (MB)",
    )  # fmt: skip
    return table(head, rows)


def training_table(found: dict[str, Result]) -> str:
    """Format the comparison of training steps."""
    rows = []
    for name in (name for name in TRAINING if name in found):
        for pair in found[name]["pairs"]:
            ours, theirs = pair["ours"], pair.get("theirs")
            row = (name, pair["kind"], f"{ours['median_s']:.1f}", f"{ours['peak_mb']:.0f}")
            if theirs is None:
                rows.append((*row, "", "", "", "", ""))
                continue
            memory = f"{ours['peak_mb'] / theirs['peak_mb']:.2f}"
            seconds, peak = f"{theirs['median_s']:.1f}", f"{theirs['peak_mb']:.0f}"
            rows.append((*row, seconds, peak, f"**{pair['ratio']:.2f}**", memory, agreement(pair)))
    head = (
        "case", "dtype", "unimask (s)", "unimask (MB)", "transformers (s)", "transformers (MB)",
        "time ratio", "memory ratio", "difference of losses",
    )  # fmt: skip
    return table(head, rows)


def half_table(_: dict[str, Result]) -> str:
    """Format the share of pixels that get the same class in bfloat16 and in float32."""
    rows = []
    for path in sorted(RESULTS.glob("half_precision_*.json")):
        found = json.loads(path.read_text())
        shares = (f"{found[key]:.2f}" for key in ("of_all_pixels", "median_image", "worst_image"))
        counts = f"{found['segments_float32']} / {found['segments_bfloat16']}"
        rows.append((found["model"], found["task"], found["images"], *shares, counts))
    head = (
        "model", "task", "images", "equal pixels (%)", "median image (%)", "worst image (%)",
        "segments, float32 / bfloat16",
    )  # fmt: skip
    return table(head, rows)


def quote_output(script: str) -> str:
    """Quote the saved output of a script."""
    path = RESULTS / f"{script}.txt"
    return f"```\n{path.read_text().strip()}\n```" if path.is_file() else NONE


def machines(found: dict[str, Result]) -> str:
    """List the machines of the measurements."""
    lines = {}
    for result in found.values():
        machine = result["machine"]
        words = " ".join(machine["instructions"])
        lines[
            f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, "
            f"{machine['memory_gb']} GB, {words}; torch {machine['torch']}, "
            f"unimask {machine['unimask']}"
        ] = None
    return "\n".join(f"- {line}" for line in lines) or NONE


TABLES: dict[str, Callable[[dict[str, Result]], str]] = {
    "machines": machines,
    "peers": peers_table,
    "exports": exports_table,
    "floors": floors_table,
    "growth": growth_table,
    "training": training_table,
    "profiles": lambda _: quote_output("profiles"),
    "compiled": lambda _: quote_output("compiled"),
    "post-processing": lambda _: quote_output("postprocessing"),
    "half precision": half_table,
    "precision": lambda _: quote_output("precision"),
    "precision without AMX": lambda _: quote_output("precision_without_amx"),
    "int8": lambda _: quote_output("int8"),
    "int8 without AMX": lambda _: quote_output("int8_without_amx"),
}


def series(found: dict[str, Result], name: str, kind: str) -> dict[str, list[tuple[int, float]]]:
    """Return the points of a growth curve for each system."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for value in GROWTH[name]:
        result = found.get(f"{name}-{value}")
        if result is None:
            continue
        lines.setdefault("unimask", []).append((value, quickest(result, kind)))
        for pair in result["pairs"]:
            if pair["kind"] == kind and "theirs" in pair:
                point = (value, pair["theirs"]["median_s"])
                lines.setdefault(pair["peer"], []).append(point)
    return lines


def draw_growth(found: dict[str, Result]) -> None:
    """Plot time over image side, queries and classes, for the cases with results."""
    names = [name for name in GROWTH if series(found, name, FLOAT)]
    if not names:
        return
    size = (4 * len(names), 3.8)
    figure, row = plt.subplots(1, len(names), figsize=size, layout="constrained", squeeze=False)
    axes = row[0]
    for axis, name in zip(axes, names, strict=True):
        for kind, style in ((FLOAT, "-"), (HALF, "--")):
            for system, points in series(found, name, kind).items():
                axis.plot(
                    *zip(*points, strict=True), style, marker="o", markersize=4,
                    color=COLOURS[system], label=f"{system}, {kind}",
                )  # fmt: skip
        axis.set_xlabel({"side": "side of the image (pixels)"}.get(name, name))
        if name == "side":
            axis.set(xscale="log", yscale="log")
            axis.set_xticks(SIDES, [str(side) for side in SIDES])
            axis.minorticks_off()
        else:
            axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("seconds per image")
    axes[0].legend(fontsize=8)
    figure.suptitle("Mask2Former, Swin-T; queries and classes at 512x512", fontsize=11)
    figure.savefig(IMAGES / "speed_growth.png", dpi=110)


def draw_peers(found: dict[str, Result]) -> None:
    """Plot the time of every system in the main cases, relative to eager transformers."""
    cases = [case.name for case in MAIN if case.name in found]
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained", sharey=True)
    for axis, kind in zip(axes, (FLOAT, HALF), strict=True):
        for row, case in enumerate(cases):
            bars = relative(found[case], kind)
            for index, (system, share) in enumerate(bars.items()):
                position = row + (index - (len(bars) - 1) / 2) * 0.16
                axis.barh(position, share, 0.15, color=COLOURS[system])
                axis.text(share + 0.01, position, f"{share:.2f}", va="center", fontsize=7)
        axis.axvline(1, color="0.4", linewidth=0.8)
        axis.set_title(f"{kind}: time relative to transformers in {FLOAT}", fontsize=10)
        axis.set_yticks(range(len(cases)), cases)
    axes[0].invert_yaxis()
    handles = [Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    figure.legend(handles, COLOURS, loc="outside lower center", ncols=len(COLOURS), fontsize=9)
    figure.savefig(IMAGES / "speed_peers.png", dpi=110)


def relative(result: Result, kind: str) -> dict[str, float]:
    """Compute the time of each system relative to transformers in float32.

    Each peer was measured against unimask; these ratios put all systems on one scale.
    """
    pairs = [pair for pair in result["pairs"] if "ratio" in pair]
    base = next((p for p in pairs if (p["peer"], p["kind"]) == ("transformers", FLOAT)), None)
    if base is None:
        return {}
    ours = base["ratio"] * quickest(result, kind) / quickest(result, FLOAT)
    rest = {p["peer"]: ours / p["ratio"] for p in pairs if p["kind"] == kind}
    return {"unimask": ours, **rest}


def main() -> None:
    """Replace every table of the document, and draw the plots."""
    found = results()
    text = DOCUMENT.read_text()
    for name, write in TABLES.items():
        text = replace_table(text, name, write(found))
    DOCUMENT.write_text(text)
    texts = [f"{name}\n\n{write(found)}\n" for name, write in TABLES.items()]
    (RESULTS / "peers.txt").write_text("\n".join(texts))
    if found:
        draw_peers(found)
    if any(f"{name}-{value}" in found for name, values in GROWTH.items() for value in values):
        draw_growth(found)


if __name__ == "__main__":
    main()
