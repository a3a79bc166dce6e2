"""Result of a large image, whose segments are in files."""

from dataclasses import dataclass, field
from pathlib import Path

from unimask.labels import LabelSet, Task
from unimask.results import Candidate


@dataclass(frozen=True, eq=False)
class RasterResult:
    """Files and numbers of segments of a large image.

    Attributes:
        task: Task that was predicted.
        size: Height and width of the image in pixels.
        labels: Classes of the network.
        paths: Written files: "ids" and "classes" (GeoTIFF), "gpkg" and "geojson" (polygons), and
            "json" (a summary); those that apply.
        counts: Number of segments of each class that occurs.
        speed: Milliseconds per stage: "preprocess", "network", "postprocess" and "files".
        candidates: Highest scores that were considered, if there are no segments.
    """

    task: Task
    size: tuple[int, int]
    labels: LabelSet
    paths: dict[str, Path]
    counts: dict[str, int]
    speed: dict[str, float] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()

    def __len__(self) -> int:
        return sum(self.counts.values())
