"""Model card: the README.md of a model on the Hugging Face Hub, with metadata."""

from collections.abc import Mapping, Sequence

from unimask.checkpoints import ModelDescription, transformers_incompatibility
from unimask.checkpoints.huggingface.config import write_config
from unimask.inference.provenance import Provenance
from unimask.labels import Task
from unimask.text.task_sentences import task_tokens
from unimask.version import __version__

MARKER = "<!-- Written by unimask. Remove this line to keep your changes at the next upload. -->"
"""Line that marks a card as replaceable."""

FAMILIES = {"mask2former": "Mask2Former", "oneformer": "OneFormer", "maskformer": "MaskFormer"}
"""Names of the families that transformers implements, by model type."""

POSTPROCESSING: dict[Task, str] = {
    "panoptic": "panoptic_segmentation",
    "instance": "instance_segmentation",
    "semantic": "semantic_segmentation",
}
"""Methods of transformers' image processors after `post_process_`."""

Json = dict[str, object]


def write_card(
    repository: str,
    description: ModelDescription,
    provenance: Provenance,
    *,
    licence: str | None = None,
    examples: Mapping[str, str] | None = None,
) -> str:
    """Return a model card.

    Args:
        repository: Hub id of the model.
        description: Architecture, labels, tasks, and settings of pre- and post-processing.
        provenance: Licence, base model and scores, where known.
        licence: Licence that replaces the known one.
        examples: URLs of the widget's images by title.
    """
    import yaml

    licence = licence or provenance.licence
    metadata = card_metadata(repository, description, provenance, licence)
    if examples:
        metadata["widget"] = [{"src": url, "example_title": t} for t, url in examples.items()]
    head = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    sections = (
        introduction(repository, description),
        unimask_section(repository, description),
        transformers_section(repository, description),
        scores_section(provenance),
        origin_section(provenance, licence),
        labels_section(description),
    )
    return f"---\n{head}---\n{MARKER}\n\n" + "\n\n".join(filter(None, sections)) + "\n"


def card_metadata(
    repository: str, description: ModelDescription, provenance: Provenance, licence: str | None
) -> Json:
    """Return the metadata that the Hub reads, without the widget."""
    loadable = transformers_incompatibility(description.config) is None
    model_type = str(write_config(description)["model_type"])
    metadata: Json = {} if licence is None else {"license": licence.lower()}
    metadata["library_name"] = "transformers" if loadable else "unimask"
    metadata["pipeline_tag"] = "image-segmentation"
    tags = ["unimask", model_type, *(f"{task}-segmentation" for task in description.tasks)]
    metadata["tags"] = list(dict.fromkeys(tags))
    if provenance.base_on_hub is not None:
        metadata["base_model"] = provenance.base_on_hub
        if provenance.trained:
            metadata["base_model_relation"] = "finetune"
    if provenance.data is not None and "/" in provenance.data:
        metadata["datasets"] = [provenance.data]
    if provenance.scores and provenance.data:
        data = {"name": provenance.data, "type": provenance.data}
        metrics = [
            {"type": metric, "name": metric, "value": value}
            for metric, value in provenance.scores.items()
        ]
        task = {"type": "image-segmentation", "name": "Image Segmentation"}
        result = {"task": task, "dataset": data, "metrics": metrics}
        name = repository.rpartition("/")[2]
        metadata["model-index"] = [{"name": name, "results": [result]}]
    return metadata


def introduction(repository: str, description: ModelDescription) -> str:
    """Return the title and a sentence about the model."""
    family = FAMILIES.get(str(write_config(description)["model_type"]), "unimask")
    count = len(description.labels)
    classes = f"{count} class" if count == 1 else f"{count} classes"
    return (
        f"# {repository.rpartition('/')[2]}\n\n"
        f"{family} network for {join(description.tasks)} segmentation with {classes}, written by "
        f"unimask {__version__}."
    )


def unimask_section(repository: str, description: ModelDescription) -> str:
    """Return how the model is loaded in unimask."""
    return (
        "## Use in unimask\n\n```python\nimport unimask\n\n"
        f'model = unimask.load("{repository}")\n'
        f'result = model.predict("image.jpg", task="{description.tasks[0]}")\n'
        'result.save("result")\n```\n\n'
        f"```sh\nunimask predict image.jpg --model {repository} --out results/\n```"
    )


def transformers_section(repository: str, description: ModelDescription) -> str:
    """Return how the model is loaded in transformers, or why it is not."""
    why = transformers_incompatibility(description.config)
    if why is not None:
        return f"transformers cannot load this network: {why}."
    config, task = write_config(description), description.tasks[0]
    model_class = config["architectures"][0]
    extra = ""
    if config["model_type"] == "oneformer":
        tokens = task_tokens(task, int(config["task_seq_len"]))
        while tokens[-1] == 0:
            tokens.pop()
        extra = (
            f"task = torch.zeros(1, model.config.task_seq_len)  # tokens of "
            f'"the task is {task}"\ntask[0, :{len(tokens)}] = torch.tensor({tokens})\n'
            'inputs["task_inputs"] = task\n'
        )
    return (
        "## Use in transformers\n\n```python\nimport torch\nfrom PIL import Image\n"
        f"from transformers import AutoImageProcessor, {model_class}\n\n"
        f'processor = AutoImageProcessor.from_pretrained("{repository}")\n'
        f'model = {model_class}.from_pretrained("{repository}").eval()\n'
        'image = Image.open("image.jpg").convert("RGB")\n'
        f'inputs = processor(images=image, return_tensors="pt")\n{extra}'
        "with torch.inference_mode():\n    outputs = model(**inputs)\n"
        f"result = processor.post_process_{POSTPROCESSING[task]}(\n"
        "    outputs, target_sizes=[image.size[::-1]]\n)[0]\n```"
    )


def scores_section(provenance: Provenance) -> str:
    """Return the table of scores; empty if none are known."""
    if not provenance.scores:
        return ""
    rows = table(("metric", "score (%)"), [(n, f"{v:.1f}") for n, v in provenance.scores.items()])
    on = f" on {provenance.data}" if provenance.data else ""
    return f"## Scores\n\nScores{on}, {provenance.scored_by}:\n\n{rows}"


def origin_section(provenance: Provenance, licence: str | None) -> str:
    """Return where the weights come from, and their licence."""
    lines = []
    base = provenance.base_model
    if base is not None:
        known = provenance.base_licence
        note = f" (licence: {known})" if provenance.trained and known else ""
        if not provenance.trained:
            lines.append(f"The weights are those of {base}.")
        elif provenance.data:
            lines.append(f"Training on {provenance.data} started from {base}{note}.")
        else:
            lines.append(f"Training started from {base}{note}.")
    elif provenance.trained and provenance.data:
        lines.append(f"The weights were trained on {provenance.data}.")
    lines.append(f"Licence: {licence or 'not stated; ask the owner of this repository'}.")
    return "## Origin and licence\n\n" + "\n".join(lines)


def labels_section(description: ModelDescription) -> str:
    """Return the table of classes."""
    labels = description.labels
    kinds = ("thing" if thing else "stuff" for thing in labels.is_thing)
    rows = zip(map(str, range(len(labels))), labels.names, kinds, strict=True)
    return "## Labels\n\n" + table(("id", "name", "kind"), list(rows))


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; characters that end a cell or begin HTML are escaped."""
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(map(escape, line))} |" for line in lines)


def escape(text: str) -> str:
    """Return a text as one cell of a table in Markdown."""
    text = " ".join(text.replace("\\", "\\\\").split())
    return text.replace("|", "\\|").replace("<", "&lt;").replace("`", "\\`")


def join(words: Sequence[str]) -> str:
    """Return words as "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
