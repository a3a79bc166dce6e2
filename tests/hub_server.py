"""Local server of the Hub's API for reading and writing models, with LFS storage and tokens."""

import base64
import hashlib
import http.server
import json
import threading
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

TOKENS = {"hf_write": ("me", True), "hf_read": ("me", False)}
"""Name of the user, and whether the token may write."""


class Refusal(Exception):
    """An answer with an error's status and the Hub's name of the error."""

    def __init__(self, status, code="", message="", **values):
        super().__init__(message)
        self.status, self.code, self.values = status, code, {"error": message} | values


class Handler(http.server.BaseHTTPRequestHandler):
    """One request; the state is the server's."""

    protocol_version = "HTTP/1.1"

    def handle_any(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        path = unquote(urlsplit(self.path).path).strip("/")
        self.server.requests.append((self.command, path))
        try:
            status, content, headers = self.server.answer(
                self.command, path, body, self.headers.get("authorization") or ""
            )
        except Refusal as refusal:
            status, content = refusal.status, json.dumps(refusal.values).encode()
            headers = {"X-Error-Code": refusal.code, "X-Error-Message": str(refusal)}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def log_message(self, *_):
        pass


class HubServer(http.server.ThreadingHTTPServer):
    """Repositories in memory: {id: {branch: {file: bytes}}}."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories, self.private, self.storage = {}, set(), {}
        self.requests, self.commits = [], []
        self.broken_storage = False

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, method, path, body, authorization):
        parts = path.split("/")
        if parts[0] == "storage":
            return self.store(parts[1], body)
        if ".git" in path and path.endswith("info/lfs/objects/batch"):
            return ok(self.lfs_batch(json.loads(body)))
        if parts[2:3] == ["resolve"]:
            return self.resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        user, writes = self.user(authorization)
        if parts[:2] == ["api", "whoami-v2"]:
            return ok({"name": user, "type": "user", "orgs": []})
        if path == "api/repos/create":
            return self.create(user, writes, json.loads(body))
        if path == "api/validate-yaml":
            return ok({"errors": [], "warnings": []})
        repository, action = "/".join(parts[2:4]), parts[4:5]
        if parts[:2] != ["api", "models"] or repository not in self.repositories:
            raise Refusal(404, "RepoNotFound", "Repository not found")
        branches = self.repositories[repository]
        if method == "GET":
            return self.describe(repository, parts[4:])
        if not writes or user != parts[2]:
            raise Refusal(403, "", "You don't have the required permissions")
        if action == ["branch"]:
            if parts[5] in branches:
                raise Refusal(409, "", "Reference already exists")
            branches[parts[5]] = dict(branches["main"])
            return ok({})
        if parts[5] not in branches:
            raise Refusal(404, "RevisionNotFound", "Invalid rev id")
        if action == ["preupload"]:
            files = json.loads(body)["files"]
            return ok({"files": [upload_mode(file["path"]) for file in files]})
        assert action == ["commit"], path
        return self.commit(repository, parts[5], body)

    def user(self, authorization):
        token = authorization.removeprefix("Bearer ")
        if token not in TOKENS:
            raise Refusal(401, "", "Invalid username or password.")
        return TOKENS[token]

    def create(self, user, writes, values):
        owner = values["organization"] or user
        repository = f"{owner}/{values['name']}"
        if not writes or owner != user:
            raise Refusal(403, "", f"You don't have the rights to create a model under {owner}")
        if repository in self.repositories:
            url = f"{self.endpoint}/{repository}"
            raise Refusal(409, "", "You already created this model repo", url=url)
        self.repositories[repository] = {"main": {".gitattributes": b""}}
        if values.get("private") or values.get("visibility") == "private":
            self.private.add(repository)
        return ok({"url": f"{self.endpoint}/{repository}", "name": repository})

    def find(self, repository, revision):
        """Return the files of a branch or commit."""
        branches = self.repositories.get(repository, {})
        commits = {digest(files): files for files in branches.values()}
        files = branches.get(revision, commits.get(revision))
        if files is None:
            raise Refusal(404, "RevisionNotFound" if branches else "RepoNotFound")
        return files

    def describe(self, repository, rest):
        files = self.find(repository, rest[1] if len(rest) > 1 else "main")
        if rest[:1] == ["tree"]:
            rows = [(name, len(content)) for name, content in files.items()]
            return ok([{"type": "file", "path": n, "size": s, "oid": "0" * 40} for n, s in rows])
        names = [{"rfilename": name} for name in files]
        return ok({"id": repository, "sha": digest(files), "siblings": names})

    def resolve(self, repository, revision, name):
        files = self.find(repository, revision)
        if name not in files:
            raise Refusal(404, "EntryNotFound", "Entry not found")
        tag = f'"{hashlib.sha1(files[name]).hexdigest()}"'
        return 200, files[name], {"ETag": tag, "X-Repo-Commit": digest(files)}

    def lfs_batch(self, values):
        return {
            "transfer": "basic",
            "objects": [
                part | {"actions": {"upload": {"href": f"{self.endpoint}/storage/{part['oid']}"}}}
                for part in values["objects"]
            ],
        }

    def store(self, oid, body):
        if self.broken_storage:
            raise Refusal(403, "", "Request has expired")
        assert hashlib.sha256(body).hexdigest() == oid
        self.storage[oid] = body
        return ok({})

    def commit(self, repository, branch, body):
        files = dict(self.repositories[repository][branch])
        header, *rows = [json.loads(line) for line in body.splitlines()]
        for row in rows:
            value = row["value"]
            if row["key"] == "lfsFile":
                files[value["path"]] = self.storage[value["oid"]]
            else:
                assert row["key"] == "file" and value["encoding"] == "base64"
                files[value["path"]] = base64.b64decode(value["content"])
        self.repositories[repository][branch] = files
        self.commits.append((repository, branch, header["value"]["summary"]))
        url = f"{self.endpoint}/{repository}/commit/{digest(files)}"
        return ok({"success": True, "commitOid": digest(files), "commitUrl": url})


def ok(values):
    return 200, json.dumps(values).encode(), {"Content-Type": "application/json"}


def upload_mode(path):
    large = path.endswith((".safetensors", ".png"))
    return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}


def digest(files):
    return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()


@contextmanager
def serve_hub():
    """Run a server in a thread."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
