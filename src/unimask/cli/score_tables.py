"""Tables of scores: PQ by kind of class, AP by IoU and size, and one row per class."""

import re
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from unimask.metrics.absent import Scores, describe_absent, split_absent
from unimask.metrics.cityscapes_precision import MIN_AREA

KINDS = {"All": "", "Things": "_things", "Stuff": "_stuff"}
COCO_NAME = re.compile(r"A[PR](\d+|[sml])?")
"""Names of AP and AR by IoU threshold, number of detections, or area."""

VOLUME_SCORES = ("Dice", "HD95", "NSD")
"""Scores of volumes."""

AREAS = {"s": "small", "m": "medium", "l": "large"}


def score_tables(metrics: Scores, per_class: Mapping[str, Scores]) -> list[Table | str]:
    """Build the tables of a report's scores in percent (HD95 in pixels), "-" if undefined.

    Classes without any score are listed in a last line.
    """
    tables: list[Table | str] = []
    rest = dict(metrics)
    if "PQ" in rest:
        tables.append(panoptic_table(rest))
        rest = {}
    if "AP" in rest:
        coco = {key: rest.pop(key) for key in list(rest) if COCO_NAME.fullmatch(key)}
        rows = average_precision_table if "AP75" in coco else cityscapes_table
        tables.append(rows(coco))
    if rest:
        tables.append(
            score_table("score", {name: {"value": value} for name, value in rest.items()})
        )
    scored, absent = split_absent(per_class)
    tables += [score_table("class", scored)] if scored else []
    return [*tables, describe_absent(absent, len(per_class))] if absent else tables


def panoptic_table(metrics: Scores) -> Table:
    """Build the table of PQ, SQ and RQ of all classes, things and stuff, as in panopticapi."""
    names = ("PQ", "SQ", "RQ")
    rows = {
        kind: {name: metrics[name + suffix] for name in names} for kind, suffix in KINDS.items()
    }
    return score_table("", rows)


def average_precision_table(metrics: Scores) -> Table:
    """Build the table of AP and AR with their IoU thresholds, areas and numbers of detections."""
    table = Table("score", "IoU", "area", "detections", "%", box=None, pad_edge=False)
    most = max(int(key[2:]) for key in metrics if key.startswith("AR") and key[2:].isdigit())
    for name, value in metrics.items():
        end = name[2:]
        iou, area, count = "0.50:0.95", AREAS.get(end, "all"), str(most)
        if end.isdigit() and name.startswith("AP"):
            iou = f"0.{end}"
        elif end.isdigit():
            count = end
        table.add_row(name, iou, area, count, format_score(value))
    return table


def cityscapes_table(metrics: Scores) -> Table:
    """Build the table of AP and AP50 with the limits of Cityscapes' evaluation."""
    table = Table("score", "IoU", "area", "detections", "%", box=None, pad_edge=False)
    for name, value in metrics.items():
        iou = "> 0.50" if name == "AP50" else "> 0.50:0.95"
        table.add_row(name, iou, f">= {MIN_AREA} px", "all", format_score(value))
    return table


def score_table(what: str, rows: Mapping[str, Scores]) -> Table:
    """Build a table with one row per name and one column per score."""
    columns = list(next(iter(rows.values())))
    table = Table(what, *columns, box=None, pad_edge=False)
    for name, scores in rows.items():
        table.add_row(name, *(format_score(scores[column]) for column in columns))
    return table


def format_score(value: float | None) -> str:
    """Format a percentage."""
    return "-" if value is None else f"{value:.2f}"


def volume_tables(report: Mapping[str, Any] | None) -> list[Table]:
    """Build the tables of the scores of volumes: per structure, and per case; none for images."""
    if report is None:
        return []
    tolerance = f"NSD {report['tolerance_mm']:g} mm"
    structures = Table(
        "structure", "Dice", "HD95 mm", tolerance, "cases", "missed", "invented", box=None,
        pad_edge=False,
    )  # fmt: skip
    for name, row in {**report["per_structure"], "mean": report["metrics"]}.items():
        counts = (str(row.get(key, "")) for key in ("cases", "missed", "invented"))
        structures.add_row(name, *(format_score(row[key]) for key in VOLUME_SCORES), *counts)
    cases = Table("case", "structure", "Dice", "HD95 mm", tolerance, box=None, pad_edge=False)
    for case, scores in report["cases"].items():
        for name, row in scores.items():
            if any(value is not None for value in row.values()):
                cases.add_row(case, name, *(format_score(row[key]) for key in VOLUME_SCORES))
    return [structures, cases]
