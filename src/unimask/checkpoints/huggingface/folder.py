"""Model folders in the Hugging Face schema: weights, config.json, preprocessor_config.json."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from unimask.checkpoints.authors.recognition import find_publication_by_names
from unimask.checkpoints.checkpoint import Checkpoint, ModelDescription
from unimask.checkpoints.config_validation import expected_tensors
from unimask.checkpoints.files.tensors import read_safetensors, read_tensors
from unimask.checkpoints.huggingface.backbone_names import BACKBONES
from unimask.checkpoints.huggingface.compatibility import (
    Schema,
    read_schema,
    write_architecture,
)
from unimask.checkpoints.huggingface.config import (
    read_architecture,
    read_labels,
    read_names,
    read_postprocessing,
    read_preprocessing,
    read_tasks,
    write_config,
    write_preprocessor,
)
from unimask.checkpoints.huggingface.detr_names import DETR
from unimask.checkpoints.huggingface.eomt import write_buffers
from unimask.checkpoints.huggingface.eomt_names import IGNORED_NAMES as EOMT_IGNORED_NAMES
from unimask.checkpoints.huggingface.eomt_names import eomt_rules
from unimask.checkpoints.huggingface.generations import to_usual_names
from unimask.checkpoints.huggingface.mask2former_names import IGNORED_NAMES, MASK2FORMER
from unimask.checkpoints.huggingface.maskformer import MASKFORMER
from unimask.checkpoints.huggingface.oneformer import ONEFORMER
from unimask.checkpoints.huggingface.own_schema import OWN_NAMES
from unimask.checkpoints.huggingface.preprocessor import read_literal_preprocessing
from unimask.checkpoints.keymap import Rules, to_ours, to_theirs
from unimask.config import Preprocessing, PreprocessingConfig, SegmenterConfig
from unimask.errors import CheckpointError, MissingExtraError, UnimaskError, one_line
from unimask.formats.atomic import atomic_path
from unimask.formats.output_folder import open_output_folder

Json = dict

FileWriter = Callable[[str], AbstractContextManager[Path]]
"""Function that yields a temporary path for the file of a name."""

FILES = ("model.safetensors", "config.json", "preprocessor_config.json")
"""Files of a model folder."""

WEIGHT_READERS = {"model.safetensors": read_safetensors, "pytorch_model.bin": read_tensors}
"""Weight files and their readers, the newer format first."""

MAX_JSON_BYTES = 2**24
"""Maximum size of a JSON file in bytes; a thousand classes take some ten thousand."""

RULES: dict[Schema, Rules] = {
    "mask2former": MASK2FORMER,
    "oneformer": ONEFORMER,
    "maskformer": MASKFORMER,
    "detr": DETR,
    "own": OWN_NAMES,
}


def read_huggingface(folder: Path, preprocessing: Preprocessing = "authors") -> Checkpoint:
    """Read a model folder.

    Args:
        folder: Folder with config.json and weights.
        preprocessing: "hub" follows preprocessor_config.json literally; "authors" follows it only
            if the authors or unimask wrote its values.

    Raises:
        CheckpointError: A file is missing or damaged, or the files contradict each other.
    """
    tensors = read_weights(folder)
    with convert_errors(folder):
        tensors = to_usual_names(tensors)
    description = read_description(folder, tensors, preprocessing)
    with convert_errors(folder):
        expected = expected_tensors(description.config, tensors)
        schema = read_schema(read_json(folder / "config.json"))
        rules = select_rules(schema, description.config)
        ignored = (*IGNORED_NAMES, *EOMT_IGNORED_NAMES)
        state = to_ours(tensors, expected, rules, ignored=ignored)
    return Checkpoint(description, state)


def read_description(
    folder: Path, tensors: dict[str, Tensor], preprocessing: Preprocessing
) -> ModelDescription:
    """Read the description of a model folder from its JSON files.

    Args:
        folder: Folder with config.json.
        tensors: Weights, from which undescribed backbones are derived; empty if there are none.
        preprocessing: See `read_huggingface`.

    Raises:
        CheckpointError: A file is missing or damaged, or the files contradict each other.
    """
    config = read_json(folder / "config.json")
    preprocessor = read_preprocessor(folder)
    with convert_errors(folder):
        architecture = read_architecture(config, tensors, folder)
        publication = find_publication_by_names(architecture, read_names(config), folder)
        default = publication.preprocessing(architecture)
        read = read_literal_preprocessing if preprocessing == "hub" else read_preprocessing
        preprocessing_config = read(config, preprocessor, default)
        check_normalisation(architecture, preprocessing_config)
        return ModelDescription(
            config=architecture,
            labels=read_labels(config, publication),
            tasks=read_tasks(config, publication),
            preprocessing=preprocessing_config,
            postprocessing=read_postprocessing(config, publication.postprocessing(architecture)),
        )


def read_folder_description(
    folder: Path, preprocessing: Preprocessing = "authors"
) -> ModelDescription:
    """Read the description of a model folder, which may lack weights; see `read_description`."""
    has_weights = any((folder / name).is_file() for name in WEIGHT_READERS)
    tensors = read_weights(folder) if has_weights else {}
    with convert_errors(folder):
        tensors = to_usual_names(tensors)
    return read_description(folder, tensors, preprocessing)


@contextmanager
def convert_errors(folder: Path) -> Iterator[None]:
    """Convert any error in a folder's JSON files to a CheckpointError of one line.

    Raises:
        CheckpointError: The files contain something invalid.
    """
    try:
        yield
    except MissingExtraError:
        raise
    except UnimaskError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    except (TypeError, ValueError, AttributeError, ArithmeticError, LookupError) as error:
        reason = one_line(error)
        raise CheckpointError(
            f"{folder}: its config.json or preprocessor_config.json has a value of a wrong "
            f"type ({reason}): download it again"
        ) from error


def read_preprocessor(folder: Path) -> Json | None:
    """Read the settings of the image processor, which release 5 nests in processor_config.json."""
    path, joint = folder / "preprocessor_config.json", folder / "processor_config.json"
    if path.is_file():
        return read_json(path)
    inner = read_json(joint).get("image_processor") if joint.is_file() else None
    return inner if isinstance(inner, dict) else None


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read the weights of a folder, from one file or from the parts that an index lists.

    Older folders have `pytorch_model.bin`, which is read without executing code.

    Raises:
        CheckpointError: The weights are missing or damaged.
    """
    for name, read in WEIGHT_READERS.items():
        if (folder / name).is_file():
            return read(folder / name)
        index = folder / f"{name}.index.json"
        if index.is_file():
            parts = [read(part) for part in list_shards(index)]
            return {name: tensor for part in parts for name, tensor in part.items()}
    raise CheckpointError(
        f"{folder / next(iter(WEIGHT_READERS))} does not exist: a model folder needs it"
    )


def list_shards(index: Path) -> list[Path]:
    """Return the weight files that an index lists, which must be in its folder.

    Raises:
        CheckpointError: It lists no files, files of other folders, or missing ones.
    """
    weight_map = read_json(index).get("weight_map")
    listed = list(weight_map.values()) if isinstance(weight_map, dict) else []
    names = sorted({name for name in listed if isinstance(name, str) and Path(name).name == name})
    if not names or any(name not in names for name in listed):
        raise CheckpointError(f"{index} lists no files beside it: download the folder again")
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{index.parent / missing[0]} does not exist ({len(missing)} of {len(names)} parts "
            "are missing): download the folder again"
        )
    return [index.parent / name for name in names]


def check_normalisation(architecture: SegmenterConfig, preprocessing: PreprocessingConfig) -> None:
    """Check that mean and standard deviation have as many channels as the network.

    Raises:
        CheckpointError: They have more or fewer.
    """
    channels = architecture.backbone.in_channels
    lengths = len(preprocessing.mean), len(preprocessing.std)
    if lengths != (channels, channels):
        raise CheckpointError(
            f"the network reads {channels} channels, but there are {lengths[0]} means and "
            f"{lengths[1]} deviations: correct preprocessor_config.json or config.json"
        )


def write_huggingface(folder: Path, checkpoint: Checkpoint, *, overwrite: bool = False) -> None:
    """Write a model folder; each file is written atomically.

    Args:
        folder: New or empty folder, or one with a model that unimask wrote, which is replaced.
        checkpoint: Model to write.
        overwrite: Whether existing files are always replaced, as in the folder of a training run.

    Raises:
        OutputError: The folder holds other files, or cannot be written to.
    """
    new_file = overwriting_writer(folder) if overwrite else recorded_writer(folder)
    description = checkpoint.description
    schema, _, _ = write_architecture(description.config)
    state = to_theirs(checkpoint.state, select_rules(schema, description.config))
    state |= write_buffers(description.config)
    with new_file("model.safetensors") as path:
        path.touch()
        mode = path.stat().st_mode
        try:
            save_file(state, path, metadata={"format": "pt"})
        except SafetensorError as error:
            raise OSError(one_line(error)) from error
        path.chmod(mode)  # safetensors creates files that only their owner may read
    with new_file("config.json") as path:
        path.write_text(json.dumps(write_config(description), indent=2) + "\n")
    with new_file("preprocessor_config.json") as path:
        path.write_text(json.dumps(write_preprocessor(description.preprocessing), indent=2) + "\n")


def recorded_writer(folder: Path) -> FileWriter:
    """Return a writer of model files that replaces no file of others.

    Raises:
        OutputError: Files of others are in the way.
    """
    place = open_output_folder(folder)
    place.check(FILES)
    return place.new_file


def overwriting_writer(folder: Path) -> FileWriter:
    """Return a writer of model files for a folder that belongs to unimask."""
    return lambda name: atomic_path(folder / name)


def select_rules(schema: Schema, architecture: SegmenterConfig) -> Rules:
    """Return the rules that map a network's names to those of a schema."""
    if schema == "eomt":
        return eomt_rules(architecture)
    return (*RULES[schema], *BACKBONES)


def read_json(path: Path) -> dict:
    """Read one of the folder's JSON files."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise CheckpointError(f"{path} is far larger than any configuration: download it again")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return content
