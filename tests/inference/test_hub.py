"""The Hub, simulated by a local server: requests, cache and errors."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading

import pytest
from conftest import tiny_checkpoint

import unimask
from unimask.checkpoints import write_huggingface
from unimask.errors import SettingsError
from unimask.inference.hub import HubAccess, split_revision

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.BaseHTTPRequestHandler):
    """Request handler for one model with one commit."""

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        self.server.requests.append((self.command, self.path, self.headers.get("authorization")))
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:4] == ["api", "models", "owner", "model"]:
            revision = parts[5] if len(parts) > 5 else "main"
            if revision not in ("main", "v1", COMMIT):
                return self.send_error_code("RevisionNotFound")
            files = sorted(self.server.folder.iterdir())
            if parts[4:5] == ["tree"]:
                tree = [{"type": "file", "path": f.name, "size": f.stat().st_size} for f in files]
                return self.send(json.dumps([row | {"oid": COMMIT} for row in tree]))
            names = [{"rfilename": file.name} for file in files]
            return self.send(json.dumps({"id": "owner/model", "sha": COMMIT, "siblings": names}))
        if parts[:3] == ["owner", "model", "resolve"]:
            content = (self.server.folder / parts[4]).read_bytes()
            return self.send(content, body=body)
        return self.send_error_code("RepoNotFound")

    def send(self, content, *, body=True):
        content = content if isinstance(content, bytes) else content.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def send_error_code(self, code):
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.folder, server.requests = tmp_path / "model", []
    write_huggingface(server.folder, tiny_checkpoint())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def load(hub, tmp_path, *models, **environment):
    """Load models one after the other, and return a line for each.

    Each is a name, or a name with arguments. It runs in a separate process, as huggingface_hub
    reads its settings when it is imported.
    """
    settings = {
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
    }
    code = (
        "import json, sys, unimask, unimask.errors\n"
        "for name, options in json.loads(sys.argv[1]):\n"
        "    try: print(unimask.load(name, device='cpu', **options).labels)\n"
        "    except unimask.errors.UnimaskError as error: print(error)"
    )
    calls = [(one, {}) if isinstance(one, str) else one for one in models]
    finished = subprocess.run(
        [sys.executable, "-c", code, json.dumps(calls)],
        env=os.environ | settings | environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr[-2000:]
    return finished.stdout.splitlines()


LABELS = "('nucleus', 'background')"


def tokens(hub):
    return {token for _, path, token in hub.requests if "resolve" in path}


def test_a_model_is_fetched_once_with_its_token_and_works_offline(hub, tmp_path):
    assert load(hub, tmp_path, "owner/model", HF_TOKEN="hf_secret") == [LABELS]
    fetched = {path for method, path, _ in hub.requests if method == "GET" and "resolve" in path}
    assert {path.rsplit("/", 1)[1] for path in fetched} == {
        "config.json", "model.safetensors", "preprocessor_config.json",
    }  # fmt: skip
    assert tokens(hub) == {"Bearer hf_secret"}
    hub.requests.clear()
    assert load(hub, tmp_path, "owner/model", HF_HUB_OFFLINE="1") == [LABELS]
    assert hub.requests == []


@pytest.mark.slow
def test_arguments_override_the_environment(hub, tmp_path):
    cache = tmp_path / "mine"
    options = {"token": "hf_mine", "cache_dir": str(cache), "revision": "v1"}
    assert load(hub, tmp_path, ("owner/model", options), HF_TOKEN="hf_other") == [LABELS]
    assert tokens(hub) == {"Bearer hf_mine"}
    assert any("/revision/v1" in path for _, path, _ in hub.requests)
    assert (cache / "models--owner--model" / "refs" / "v1").read_text() == COMMIT
    assert not (tmp_path / "home" / "hub" / "models--owner--model").exists()
    hub.requests.clear()
    labels, missing = load(
        hub, tmp_path, ("owner/model", options), ("owner/model", {"revision": "v1"}),
        HF_HUB_OFFLINE="1",
    )  # fmt: skip
    assert hub.requests == []
    assert labels == LABELS and "it is not in the cache" in missing


@pytest.mark.slow
def test_revisions_are_requested_by_name(hub, tmp_path):
    missing = ("owner/model", {"revision": "v9"})
    labels, *errors = load(hub, tmp_path, "owner/model@v1", "owner/model@v9", missing)
    assert labels == LABELS and any("/revision/v1" in path for _, path, _ in hub.requests)
    assert len(errors) == 2 and all("no revision 'v9'" in line for line in errors)


def test_failed_downloads_are_one_line_errors(hub, tmp_path):
    (tmp_path / "file").touch()
    unwritable = ("owner/model", {"cache_dir": str(tmp_path / "file" / "x")})
    (missing, unwritable_error) = load(hub, tmp_path, "owner/other", unwritable)
    assert "the Hub has no such model" in missing
    assert "owner/model is no folder here; it cannot be fetched" in unwritable_error


def test_two_revisions_are_refused():
    with pytest.raises(SettingsError, match=r"owner/model@v1 and revision 'v2': pass one"):
        unimask.load("owner/model@v1", revision="v2")
    access = HubAccess(revision="v1")
    assert split_revision("owner/model@v1", access) == ("owner/model", "v1")


@pytest.mark.parametrize("source", ["nuclei", "folder", "file"])
def test_local_paths_have_no_revisions(tmp_path, source):
    if source != "nuclei":
        write_huggingface(tmp_path, tiny_checkpoint())
        (tmp_path / "model.pkl").touch()
        source = str(tmp_path / "model.pkl" if source == "file" else tmp_path)
    with pytest.raises(SettingsError, match="is not on the Hub: it has no revision 'v1'"):
        unimask.load(source, revision="v1")
