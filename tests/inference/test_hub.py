"""The Hub, played by a server of our own: what is asked of it, kept, and said when it refuses."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading

import pytest
from conftest import tiny_checkpoint

from unimask.checkpoints import write_huggingface

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.BaseHTTPRequestHandler):
    """One model with one commit, in the Hub's manner."""

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        self.server.asked.append((self.command, self.path, self.headers.get("authorization")))
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:4] == ["api", "models", "owner", "model"]:
            revision = parts[5] if len(parts) > 5 else "main"
            if revision not in ("main", "v1", COMMIT):
                return self.refuse("RevisionNotFound")
            files = sorted(self.server.folder.iterdir())
            if parts[4:5] == ["tree"]:
                tree = [{"type": "file", "path": f.name, "size": f.stat().st_size} for f in files]
                return self.send(json.dumps([row | {"oid": COMMIT} for row in tree]))
            names = [{"rfilename": file.name} for file in files]
            return self.send(json.dumps({"id": "owner/model", "sha": COMMIT, "siblings": names}))
        if parts[:3] == ["owner", "model", "resolve"]:
            content = (self.server.folder / parts[4]).read_bytes()
            return self.send(content, body=body)
        return self.refuse("RepoNotFound")

    def send(self, content, *, body=True):
        content = content if isinstance(content, bytes) else content.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def refuse(self, code):
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.folder, server.asked = tmp_path / "model", []
    write_huggingface(server.folder, tiny_checkpoint())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def load(hub, tmp_path, name, **environment):
    """Load in a process of its own: huggingface_hub reads its settings when it is imported."""
    settings = {
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
    }
    code = (
        "import sys, unimask\n"
        "try: print(unimask.load(sys.argv[1], device='cpu').labels)\n"
        "except unimask.errors.CheckpointError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", "import unimask.errors\n" + code, name],
        env=os.environ | settings | environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_a_model_is_fetched_once_with_its_token_and_works_offline(hub, tmp_path):
    labels = "('nucleus', 'background')"
    assert load(hub, tmp_path, "owner/model", HF_TOKEN="hf_secret") == labels
    fetched = {path for method, path, _ in hub.asked if method == "GET" and "resolve" in path}
    assert {path.rsplit("/", 1)[1] for path in fetched} == {
        "config.json", "model.safetensors", "preprocessor_config.json",
    }  # fmt: skip
    assert {token for _, path, token in hub.asked if "resolve" in path} == {"Bearer hf_secret"}
    hub.asked.clear()
    assert load(hub, tmp_path, "owner/model", HF_HUB_OFFLINE="1") == labels
    assert hub.asked == []


def test_a_revision_is_asked_for_by_name(hub, tmp_path):
    assert load(hub, tmp_path, "owner/model@v1") == "('nucleus', 'background')"
    assert any("/revision/v1" in path for _, path, _ in hub.asked)
    assert "no revision 'v9'" in load(hub, tmp_path, "owner/model@v9")


def test_what_the_hub_does_not_have_is_said(hub, tmp_path):
    assert "the Hub has no such model" in load(hub, tmp_path, "owner/other")
