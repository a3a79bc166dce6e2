"""Model folders from the Hugging Face Hub, or from its cache."""

from dataclasses import dataclass
from pathlib import Path

from unimask.errors import CheckpointError, SettingsError

PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")
TOKENIZER = ["tokenizer.json", "vocab.json", "merges.txt"]
DESCRIPTIONS = ["config.json", *PREPROCESSORS, *TOKENIZER]
NEWER = ["model.safetensors", "model.safetensors.index.json", "model-*.safetensors"]
OLDER = ["pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*.bin"]
"""Weights, in one file or in several with an index."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HubAccess:
    """How the Hub is asked; None leaves it to huggingface_hub and its environment variables.

    Attributes:
        revision: A branch, a tag or a commit; the main branch by default.
        cache_dir: Folder that keeps what was fetched (`HF_HOME`, `HF_HUB_CACHE`).
        token: Of somebody who may read the model (`HF_TOKEN`, `hf auth login`).
    """

    revision: str | None = None
    cache_dir: str | Path | None = None
    token: str | None = None


def is_hub_id(name: str) -> bool:
    """Say whether a name has the form of the Hub's: owner and model."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))


def split_revision(name: str, access: HubAccess) -> tuple[str, str | None]:
    """Give the model and the revision that is asked for, behind an @ or beside the name.

    Raises:
        SettingsError: Both are given, and differ.
    """
    repository, _, told = name.partition("@")
    if told and access.revision is not None and told != access.revision:
        raise SettingsError(f"{name} and revision {access.revision!r}: give one revision")
    return repository, told or access.revision


def download(name: str, access: HubAccess) -> Path:
    """Fetch a model folder from the Hub, or from its cache.

    Endpoint and offline mode are those of huggingface_hub (`HF_ENDPOINT`, `HF_HUB_OFFLINE`).

    Args:
        name: Owner and model; after an @ a branch, a tag or a commit.
        access: Revision, cache and token.

    Raises:
        CheckpointError: It is not there, or cannot be fetched.
        SettingsError: Two revisions are asked for.
    """
    # Imported here because only the Hub needs it: bundled models and folders start sooner.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repository, revision = split_revision(name, access)
    cache = None if access.cache_dir is None else Path(access.cache_dir).expanduser()

    def fetch(files: list[str]) -> Path:
        folder = snapshot_download(
            repository,
            revision=revision,
            cache_dir=cache,
            token=access.token,
            allow_patterns=files,
        )
        return Path(folder)

    try:
        folder = fetch([*DESCRIPTIONS, *NEWER])
        found = any((folder / name).is_file() for name in NEWER)
        return folder if found else fetch([*DESCRIPTIONS, *OLDER])
    except LocalEntryNotFoundError:
        reason = "it is not in the cache, and the Hub cannot be reached: check path and network"
    except GatedRepoError:
        reason = f"the Hub asks for consent first: see huggingface.co/{name}, then `hf auth login`"
    except RevisionNotFoundError:
        reason = f"the Hub has that model, but no revision {revision!r} of it"
    except RepositoryNotFoundError:
        reason = "the Hub has no such model (or it is private: `hf auth login`): check the name"
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        told = str(error).strip() or type(error).__name__
        reason = f"it cannot be fetched: {told.splitlines()[0]}"
    raise CheckpointError(f"{name} is no folder here; {reason}")
