"""An evaluation as one HTML file: tables, curves, confusion matrix, best and worst images."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from unimask.errors import printable
from unimask.evaluation.gallery import GalleryImage
from unimask.evaluation.plots import curve_plot, reliability_diagram
from unimask.formats.output_file import GENERATOR, GENERATOR_TAG, write_text
from unimask.labels import LabelSet
from unimask.metrics import CalibrationError
from unimask.metrics.absent import Scores, describe_absent, split_absent

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;
color:#1b1f24;background:#fff}
h1{font-size:1.5rem;margin:0 0 .2rem}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}
p.note{margin:0;color:#57606a}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:.2rem .7rem .2rem 0;text-align:right;font-weight:400}th{color:#57606a}
td:first-child,th:first-child{text-align:left}tbody tr+tr td{border-top:1px solid #eaeef2}
.big{display:flex;flex-wrap:wrap;gap:.8rem 2rem}
.big b{display:block;font-size:1.6rem;font-weight:600}
.more{display:flex;flex-wrap:wrap;gap:.4rem 1.4rem;margin-top:.8rem}.more b{font-weight:600}
.more span{color:#57606a;margin-left:.35rem}
.big span{color:#57606a}.scroll{overflow-x:auto}
.confusion td,.confusion th{padding:.15rem .4rem;text-align:center;font-size:.82rem;border:0}
.confusion th:first-child{text-align:right}
.confusion thead th{writing-mode:vertical-rl;text-align:left}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:4px;margin:0 0 1rem}
.pair img{width:100%;display:block}.pair figcaption{grid-column:1/3;color:#57606a}
svg text{font:12px system-ui,sans-serif;fill:#57606a}
@media (prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}
p.note,th,.big span,.more span,.pair figcaption{color:#9198a1}tbody tr+tr td{border-color:#21262d}
svg text{fill:#9198a1}}
""".strip()

NUM_LARGE_SCORES = 4
"""Number of scores that are shown in large type."""

MAX_CONFUSION_CLASSES = 25
"""Maximum number of classes in the confusion matrix; those with the highest counts are shown."""


@dataclass(frozen=True, eq=False)
class Page:
    """Content of the page.

    Attributes:
        title: Name of the model or results, and the task.
        description: Description of the dataset.
        metrics: Scores in percent.
        per_class: Scores by class in percent.
        notes: Remarks on the data and the scores.
        curves: Precision at equally spaced recalls from 0 to 1, by name; may be empty.
        confusion: Counts of true classes by predicted ones, each with "nothing" as the last.
        labels: Classes of the confusion matrix.
        best: Images with the highest scores.
        worst: Images with the lowest scores.
        calibration: Confidences and correctness of pixels or objects; None if there are none.
        correctness: Name of the fraction of correct predictions, "accuracy" or "precision".
    """

    title: str
    description: str
    metrics: Scores
    per_class: Mapping[str, Scores]
    notes: Sequence[str]
    curves: Mapping[str, Float[np.ndarray, " r"]]
    confusion: Int[np.ndarray, "k1 k1"]
    labels: LabelSet
    best: Sequence[GalleryImage]
    worst: Sequence[GalleryImage]
    calibration: CalibrationError | None = None
    correctness: str = "accuracy"


def write_page(path: Path, page: Page, *, overwrite: bool = False) -> None:
    """Write the page as one file without scripts and external resources.

    Raises:
        OutputError: The file cannot be written, or exists and was not written by unimask.
    """
    parts = [
        f"<h1>{escape(page.title)}</h1><p class=note>{escape(page.description)}</p>",
        *(f"<p class=note>{escape(note)}</p>" for note in page.notes),
        section("Scores, in percent", headline_row(page.metrics)),
        section("By class", class_table(page.per_class) if page.per_class else ""),
        section("Precision over recall", curve_plot(page.curves) if page.curves else ""),
        section("Calibration", calibration_section(page.calibration, page.correctness)),
        section("Confusion matrix", confusion_table(page.confusion, page.labels)),
        section("Worst images: ground truth and prediction", image_pairs(page.worst)),
        section("Best images: ground truth and prediction", image_pairs(page.best)),
    ]
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'{GENERATOR_TAG}{GENERATOR.removeprefix("unimask ")}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(page.title)}</title><style>{STYLE}</style></head><body>"
    )
    content = head + "\n".join(filter(None, parts)) + "</body></html>\n"
    write_text(path, content, overwrite=overwrite)


def escape(text: str) -> str:
    """Escape text for HTML, including characters that do not print."""
    return html.escape(printable(text))


def section(title: str, body: str) -> str:
    """Return a section with its heading; "" if the section is empty."""
    return f"<h2>{escape(title)}</h2>{body}" if body else ""


def percent(value: float | None) -> str:
    """Format a score."""
    return "&ndash;" if value is None else f"{value:.1f}"


def headline_row(metrics: Scores) -> str:
    """Format all scores, the first ones in large type."""
    cells = [f"<div><b>{percent(v)}</b><span>{escape(k)}</span></div>" for k, v in metrics.items()]
    rest = (
        f"<div class=more>{''.join(cells[NUM_LARGE_SCORES:])}</div>"
        if cells[NUM_LARGE_SCORES:]
        else ""
    )
    return f"<div class=big>{''.join(cells[:NUM_LARGE_SCORES])}</div>{rest}"


def class_table(per_class: Mapping[str, Scores]) -> str:
    """Format scores by class, and list the classes without a score."""
    scored, absent = split_absent(per_class)
    absent_note = escape(describe_absent(absent, len(per_class)))
    names = list(next(iter(per_class.values())))
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = (
        f"<tr><td>{escape(label)}</td>{''.join(f'<td>{percent(s[n])}</td>' for n in names)}</tr>"
        for label, s in scored.items()
    )
    return (
        f"<div class=scroll><table><thead><tr><th></th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        f"{f'<p class=note>{absent_note}</p>' if absent_note else ''}"
    )


def calibration_section(calibration: CalibrationError | None, correctness: str) -> str:
    """Format the calibration errors and the reliability diagram."""
    if calibration is None:
        return ""
    errors = calibration.compute()
    kind = "pixels with ground truth" if correctness == "accuracy" else "detections"
    return (
        f"<p class=note>Expected calibration error (ECE) {percent(errors['ECE'])}, maximum (MCE) "
        f"{percent(errors['MCE'])}, in percent. Bars show the {correctness} of all {kind} in a "
        "range of confidence, with their share above; red is the distance to their mean "
        "confidence. Well calibrated confidences follow the diagonal.</p>"
        f"{reliability_diagram(calibration, correctness)}"
    )


def confusion_table(confusion: Int[np.ndarray, "k1 k1"], labels: LabelSet) -> str:
    """Format the confusion matrix in percent of each true class."""
    names = [*labels.names, "nothing"]
    counts = confusion.sum(0) + confusion.sum(1)
    shown = np.sort(np.argsort(-counts, kind="stable")[:MAX_CONFUSION_CLASSES])
    shown = shown[counts[shown] > 0]
    if not len(shown):
        return ""
    head = "".join(f"<th>{escape(names[i])}</th>" for i in shown)
    rows = []
    for true in shown:
        total = None if true == len(labels) else max(int(confusion[true].sum()), 1)
        cells = "".join(confusion_cell(int(confusion[true, i]), total, i == true) for i in shown)
        rows.append(f"<tr><th>{escape(names[true])}</th>{cells}</tr>")
    num_hidden = len(names) - len(shown)
    hidden_note = (
        f"<p class=note>{num_hidden} rare or absent classes are not shown.</p>"
        if num_hidden > 1
        else ""
    )
    return (
        "<p class=note>Rows are true classes, in percent of each; columns are predicted classes. "
        "The last column holds missed segments or pixels; the last row counts predictions without "
        "ground truth.</p>"
        f"<div class=scroll><table class=confusion><thead><tr><th></th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>{hidden_note}"
    )


def confusion_cell(count: int, total: int | None, is_correct: bool) -> str:
    """Format one cell, tinted by its value: green on the diagonal, red elsewhere.

    Args:
        count: Number of pixels or segments.
        total: Number of the true class; None shows the count instead of a percentage.
        is_correct: Whether the predicted class is the true one.
    """
    if total is None:
        return f"<td>{count or ''}</td>"
    share = count / total
    tint = "46,160,67" if is_correct else "218,54,51"
    text = "" if not count else f"{100 * share:.0f}" if share >= 0.005 else "&lt;1"
    return f'<td style="background:rgba({tint},{0.75 * share:.2f})" title="{count}">{text}</td>'


def image_pairs(images: Sequence[GalleryImage]) -> str:
    """Format images with ground truth beside prediction."""
    return "".join(
        f'<figure class=pair style="margin-inline:0"><figcaption>{escape(image.name)}: '
        f"{image.score:.1f}</figcaption>"
        f'<img alt="ground truth" src="data:image/jpeg;base64,{image.ground_truth}">'
        f'<img alt="prediction" src="data:image/jpeg;base64,{image.prediction}"></figure>'
        for image in images
    )
