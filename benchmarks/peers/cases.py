"""Cases of `benchmarks/peers/run.py`: networks, image sizes, and systems."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

FLOAT, HALF, INT8 = "float32", "bfloat16", "int8"

EAGER = ("transformers", FLOAT), ("transformers", HALF)
CONVERTED = ("OpenVINO", FLOAT), ("OpenVINO", HALF)
COMPILED = ("torch.compile", FLOAT), ("torch.compile", HALF)
ONNX = (("ONNX Runtime", FLOAT),)
QUANTISED = ("OpenVINO", FLOAT), ("OpenVINO", INT8)
ALL = (*EAGER, *COMPILED, *CONVERTED, *ONNX)


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network with random weights, the same for all systems."""

    family: Literal["mask2former", "oneformer"] = "mask2former"
    backbone: Literal["swin-tiny", "swin-large", "resnet50"] = "swin-tiny"
    queries: int = 100
    classes: int = 133

    @property
    def name(self) -> str:
        """Name of the network's folder."""
        return f"{self.family}-{self.backbone}-q{self.queries}-k{self.classes}"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One measurement: a network on images of one size, against each peer in turn.

    Attributes:
        name: Name of the case.
        network: The network.
        size: Height and width of the images.
        batch: Number of images.
        peers: Systems and dtypes to compare with; float32 comes first.
        rounds: Number of timed passes.
        ours: Which of our systems is compared.
    """

    name: str
    network: Network
    size: tuple[int, int]
    batch: int = 1
    peers: tuple[tuple[str, str], ...] = ALL
    rounds: int = 5
    ours: str = "unimask"

    def facts(self) -> dict[str, Any]:
        """Return a description of the measurement."""
        facts = {
            "ours": self.ours, "size": self.size, "batch": self.batch, "rounds": self.rounds,
        }  # fmt: skip
        return {"case": self.name, "network": asdict(self.network), **facts}


TINY = Network()
LARGE = Network(backbone="swin-large", queries=200)
ONEFORMER = Network(family="oneformer", backbone="swin-large", queries=250, classes=150)
USUAL, SMALL, MIDDLE = (800, 1088), (384, 384), (512, 512)
SIDES, QUERIES, CLASSES = (512, 1024, 2048, 4096), (100, 200, 300, 600, 1000), (19, 150, 400, 847)
BESIDE = (*EAGER, *CONVERTED)

MAIN = (
    Case(name="swin-tiny-800x1088", network=TINY, size=USUAL, rounds=7),
    Case(name="swin-tiny-384x384", network=TINY, size=SMALL, rounds=9),
    Case(name="swin-tiny-384x384-batch-8", network=TINY, size=SMALL, batch=8, peers=BESIDE),
    Case(name="resnet50-800x1088", network=Network(backbone="resnet50"), size=USUAL, rounds=7),
    Case(name="swin-large-800x1088", network=LARGE, size=USUAL, peers=BESIDE),
    Case(
        name="oneformer-swin-large-800x1088", network=ONEFORMER, size=USUAL, peers=EAGER, rounds=3
    ),
)
GROWTH = (
    *(
        Case(
            name=f"side-{side}",
            network=TINY,
            size=(side, side),
            peers=BESIDE if side < 2048 else EAGER,
            rounds=5 if side < 2048 else 3,
        )
        for side in SIDES
    ),
    *(
        Case(name=f"queries-{count}", network=Network(queries=count), size=MIDDLE, peers=EAGER)
        for count in QUERIES
    ),
    *(
        Case(name=f"classes-{count}", network=Network(classes=count), size=MIDDLE, peers=EAGER)
        for count in CLASSES
    ),
)
IN_ONNX, IN_OPENVINO = "unimask, ONNX Runtime", "unimask, OpenVINO"
EXPORTS = (
    Case(name="int8", network=TINY, size=USUAL, peers=QUANTISED),
    Case(name="exported-onnx", network=TINY, size=USUAL, peers=ONNX, ours=IN_ONNX),
    Case(name="exported-openvino", network=TINY, size=USUAL, peers=QUANTISED, ours=IN_OPENVINO),
)
"""int8 in PyTorch, and exported graphs, against `transformers`' network in the same runtime."""

CASES = {case.name: case for case in (*MAIN, *EXPORTS, *GROWTH)}


@dataclass(frozen=True, kw_only=True)
class TrainingCase:
    """Training steps of Swin-T: time and peak memory."""

    name: str
    size: tuple[int, int]
    batch: int
    objects: int
    queries: int = 100
    kinds: tuple[str, ...] = (FLOAT, HALF)
    peer: bool = True
    rounds: int = 5

    @property
    def network(self) -> Network:
        """The network that is trained."""
        return Network(queries=self.queries)

    def facts(self) -> dict[str, Any]:
        """Return a description of the measurement."""
        return {"case": self.name, **{k: v for k, v in asdict(self).items() if k != "name"}}


TRAINING = {
    case.name: case
    for case in (
        TrainingCase(name="training-step", size=MIDDLE, batch=2, objects=20),
        *(
            TrainingCase(
                name=f"training-{count}-objects",
                size=(1024, 1024),
                batch=1,
                objects=count,
                queries=600,
                kinds=(FLOAT,),
                peer=False,
                rounds=3,
            )
            for count in (20, 500)
        ),
    )
}
