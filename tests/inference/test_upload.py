"""Uploads to the Hub, answered by a local server that speaks its API."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import huggingface_hub
import numpy as np
import pytest
import torch
from conftest import TINY_ONEFORMER, TINY_SWIN, tiny_checkpoint
from hub_server import serve_hub
from huggingface_hub import ModelCard
from PIL import Image

import unimask
from unimask.checkpoints import read_huggingface, write_huggingface
from unimask.errors import ImageError, OutputError, SettingsError
from unimask.inference import load
from unimask.inference.provenance import Provenance, find_provenance

# huggingface_hub uploads by an argument that its HTTP library deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

MODEL_FILES = {"README.md", "config.json", "model.safetensors", "preprocessor_config.json"}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Local Hub; this process is logged in as a user who may write to me/..."""
    constants = huggingface_hub.constants
    with serve_hub() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", "hf_write")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        huggingface_hub.close_session()
        yield server
        huggingface_hub.close_session()


@pytest.fixture
def swin(tmp_path):
    """Folder of a small random Mask2Former on Swin, which transformers loads as well."""
    write_huggingface(tmp_path / "swin", tiny_checkpoint(TINY_SWIN))
    return tmp_path / "swin"


def uploaded(hub, folder, repository="me/cells", branch="main"):
    """Write what was uploaded to a folder."""
    for name, content in hub.repositories[repository][branch].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_pushed_model_loads_equal_from_the_hub(hub, swin, tmp_path):
    model = load(swin, device="cpu")
    url = model.push_to_hub("me/cells")
    files = hub.repositories["me/cells"]["main"]
    assert url.startswith(f"{hub.endpoint}/me/cells/commit/")
    assert set(files) - {".gitattributes"} == MODEL_FILES
    assert hub.commits == [("me/cells", "main", "Upload a model with unimask")]
    assert len(hub.storage) == 1 and not hub.private
    again = unimask.load("me/cells", device="cpu")
    assert again.description == model.description
    weights = model.network.state_dict()
    assert weights.keys() == again.network.state_dict().keys()
    assert all(torch.equal(weights[n], w) for n, w in again.network.state_dict().items())


def test_the_card_has_metadata_and_says_how_to_load(hub, swin, tmp_path):
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(tmp_path / "two cells.png")
    load(swin, device="cpu").push_to_hub(
        "me/cells", licence="Apache-2.0", examples=[tmp_path / "two cells.png"]
    )
    card = ModelCard.load(uploaded(hub, tmp_path / "copy") / "README.md")
    data = card.data.to_dict()
    assert (data["license"], data["library_name"]) == ("apache-2.0", "transformers")
    assert data["pipeline_tag"] == "image-segmentation"
    assert {"unimask", "mask2former", "panoptic-segmentation"} <= set(data["tags"])
    address = f"{hub.endpoint}/me/cells/resolve/main/examples/two%20cells.png"
    assert data["widget"] == [{"src": address, "example_title": "two cells"}]
    assert hub.repositories["me/cells"]["main"]["examples/two cells.png"].startswith(b"\x89PNG")
    assert "base_model" not in data and "model-index" not in data and "## Scores" not in card.text
    assert 'unimask.load("me/cells")' in card.text
    assert 'Mask2FormerForUniversalSegmentation.from_pretrained("me/cells")' in card.text
    assert "| 0 | nucleus | thing |\n| 1 | background | stuff |" in card.text
    assert str(tmp_path) not in card.content


@pytest.mark.slow
@pytest.mark.parametrize("config", [TINY_SWIN, TINY_ONEFORMER], ids=["mask2former", "oneformer"])
def test_the_code_of_the_card_runs(hub, tmp_path, monkeypatch, config):
    pytest.importorskip("transformers")
    config = replace(config, backbone=TINY_SWIN.backbone)
    write_huggingface(tmp_path / "model", tiny_checkpoint(config))
    model = load(tmp_path / "model", device="cpu")
    model.push_to_hub("me/cells")
    card = (uploaded(hub, tmp_path / "copy") / "README.md").read_text()
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 60, 3), np.uint8)).save(
        "image.jpg"
    )
    codes = card.split("```python\n")[1:]
    ours, theirs = [code.split("```")[0] for code in codes]
    exec(ours.replace('load("me/cells")', 'load("copy", device="cpu")'), {})
    assert (tmp_path / "result" / "image.json").is_file()
    values = {}
    exec(theirs.replace('"me/cells"', '"copy"'), values)
    assert values["result"]["segmentation"].shape == (50, 60)
    with torch.inference_mode():
        output = model.network(values["inputs"]["pixel_values"], "panoptic")
    expected = values["outputs"].class_queries_logits
    assert torch.allclose(output.class_logits, expected, atol=1e-4)


def test_a_network_of_unimask_alone_says_so(hub, tiny_model, tmp_path):
    load(tiny_model, device="cpu").push_to_hub("me/cells")
    card = ModelCard.load(uploaded(hub, tmp_path / "copy") / "README.md")
    assert card.data.library_name == "unimask"
    assert "transformers cannot load this network: backbone.norm is 'group'" in card.text
    assert "from_pretrained" not in card.text


def test_a_run_states_its_score_and_its_base_model(hub, swin, tmp_path):
    run = tmp_path / "run"
    (run / "weights").mkdir(parents=True)
    swin.rename(run / "weights" / "best")
    base = "facebook/mask2former-swin-tiny-coco-panoptic"
    record = {"model": base, "data": "/home/me/secret/cells", "task": "panoptic"}
    (run / "settings.json").write_text(json.dumps(record))
    (run / "metrics.csv").write_text("step,metric,score\n1,PQ,40.26\n2,,\n3,PQ,52.34\n4,PQ,51.0\n")
    load(run, device="cpu").push_to_hub("me/cells")
    card = ModelCard.load(uploaded(hub, tmp_path / "copy") / "README.md")
    assert (card.data.base_model, card.data.license) == (base, None)
    assert card.data.to_dict()["base_model_relation"] == "finetune"
    (result,) = card.data.eval_results
    assert (result.dataset_name, result.metric_name, result.metric_value) == ("cells", "PQ", 52.34)
    assert "| PQ | 52.3 |" in card.text and "secret" not in card.content
    assert f"started from {base} (licence: CC-BY-NC-4.0)" in card.text


@pytest.mark.slow
def test_branches_privacy_and_cards_of_others(hub, swin):
    model = load(swin, device="cpu")
    model.push_to_hub("me/cells", private=True, revision="v2")
    branches = hub.repositories["me/cells"]
    assert hub.private == {"me/cells"} and set(branches["main"]) == {".gitattributes"}
    assert set(branches["v2"]) >= MODEL_FILES
    model.push_to_hub("me/cells", revision="v2", licence="mit")  # the card is unimask's: replaced
    assert b"license: mit" in branches["v2"]["README.md"]
    branches["v2"]["README.md"] = b"# Mine\n"
    model.push_to_hub("me/cells", revision="v2")
    assert branches["v2"]["README.md"] == b"# Mine\n"


def test_a_name_without_owner_is_refused(hub, swin):
    model = load(swin, device="cpu")
    for name in ["cells", "me/", "/cells", "a/b/c", "me/ce lls", "me/cells@v1", ""]:
        with pytest.raises(SettingsError, match="is no Hub id: pass it as owner/name"):
            model.push_to_hub(name)
    assert hub.requests == []


def test_missing_and_wrong_tokens(hub, swin, monkeypatch):
    model = load(swin, device="cpu")
    with pytest.raises(SettingsError, match=r"me/cells: the Hub does not accept the token \(401\)"):
        model.push_to_hub("me/cells", token="hf_wrong")
    with pytest.raises(OutputError, match=r"me's token may not write to it \(403\); take a token"):
        model.push_to_hub("me/cells", token="hf_read")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(SettingsError, match="no token to upload me/cells: run `hf auth login`"):
        model.push_to_hub("me/cells")
    assert hub.repositories == {}


@pytest.mark.parametrize("exists", [True, False])
def test_the_repository_of_another_owner(hub, swin, exists):
    if exists:
        hub.repositories["other/cells"] = {"main": {"mine.txt": b"mine"}}
    with pytest.raises(OutputError, match=r"it belongs to other: push to me/\.\.\."):
        load(swin, device="cpu").push_to_hub("other/cells")
    assert hub.repositories.get("other/cells") == (
        {"main": {"mine.txt": b"mine"}} if exists else None
    )


def test_a_failed_upload_of_the_weights_commits_nothing(hub, swin):
    hub.broken_storage = True
    message = (
        r"nothing was committed: .*model.safetensors.*403, Request has expired\): run it again"
    )
    with pytest.raises(OutputError, match=message):
        load(swin, device="cpu").push_to_hub("me/cells")
    assert hub.commits == [] and set(hub.repositories["me/cells"]["main"]) == {".gitattributes"}
    hub.broken_storage = False
    load(swin, device="cpu").push_to_hub("me/cells")
    assert set(hub.repositories["me/cells"]["main"]) >= MODEL_FILES


def test_the_provenance_of_published_models_and_others(tmp_path):
    published = find_provenance("facebook/mask2former-swin-tiny-coco-panoptic@main")
    assert published.licence == "CC-BY-NC-4.0" and published.scores["PQ"] == 53.2
    assert published.base_on_hub == "facebook/mask2former-swin-tiny-coco-panoptic"
    authors = find_provenance(str(tmp_path / "model_final_94dc52.pkl"))
    assert authors.scores["PQ"] == 51.9 and authors.base_on_hub is None
    assert find_provenance("nuclei").licence == "apache-2.0"
    assert find_provenance("owner/model@v1").base_on_hub == "owner/model"
    assert find_provenance(str(tmp_path)) == find_provenance("any text") == Provenance()


def test_no_network(hub, swin, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        OutputError, match=r"http://127.0.0.1:9 cannot be reached .*check the network"
    ):
        load(swin, device="cpu").push_to_hub("me/cells")


def test_examples_are_images_that_browsers_display(hub, swin, tmp_path):
    model = load(swin, device="cpu")
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(ImageError, match=r"a\.png cannot be read as an image"):
        model.push_to_hub("me/cells", examples=[tmp_path / "a.png"])
    Image.new("RGB", (4, 4)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=r"a\.tif is TIFF: browsers display JPEG, PNG, WEBP"):
        model.push_to_hub("me/cells", examples=[tmp_path / "a.tif"])
    assert hub.requests == []


@pytest.mark.slow
def test_the_command_pushes_to_the_endpoint_of_the_environment(hub, swin, tmp_path):
    environment = {
        "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1",
    }  # fmt: skip
    finished = subprocess.run(
        [sys.executable, "-m", "unimask", "export", swin, "--push", "me/cells", "--private"],
        env=os.environ | environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.strip().startswith(f"{hub.endpoint}/me/cells/commit/")
    assert hub.private == {"me/cells"}
    one, other = read_huggingface(swin), read_huggingface(uploaded(hub, tmp_path / "copy"))
    assert one.description == other.description
    assert all(torch.equal(other.state[name], value) for name, value in one.state.items())


def test_options_of_the_command(hub, command, check_error, swin, tmp_path):
    code, _, err = command("export", swin)
    check_error(code, err, "pass --out, or --push OWNER/NAME")
    code, _, err = command("export", swin, "--out", tmp_path / "o", "--licence", "mit")
    check_error(code, err, "--licence belongs to --push")
    code, _, err = command("export", swin, "--push", "me/cells", "--format", "onnx")
    check_error(code, err, "--push belongs to --format huggingface")
    code, _, err = command("export", swin, "--push", "cells", "--out", tmp_path / "o")
    check_error(code, err, "'cells' is no Hub id")
    assert hub.requests == [] and not (tmp_path / "o").exists()
    code, printed, err = command("export", swin, "--push", "me/cells", "--out", tmp_path / "o")
    assert code == 0, err
    assert "2 classes" in printed and f"{hub.endpoint}/me/cells/commit/" in printed
