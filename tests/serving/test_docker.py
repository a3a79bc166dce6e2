"""The container's files: a user without rights, and options that the command has."""

import json
import re

import yaml
from docker_steps import DOCKER, instructions, stages


def test_the_container_runs_without_rights():
    last = stages()[-1]
    users = [rest for name, rest in last if name == "USER"]
    assert users and users[-1] not in ("0", "root")
    entry = dict(last)["ENTRYPOINT"]
    assert json.loads(entry) == ["unimask", "serve"]  # no shell, so that SIGTERM arrives


def test_files_of_the_build_exist():
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (DOCKER.parent / source).exists(), source


def test_options_of_the_containers_exist(command):
    code, out, _ = command("serve", "--help")
    known = set(re.findall(r"--[a-z-]+", out))
    service = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]["unimask"]
    arguments = [*json.loads(dict(instructions())["CMD"]), *service["command"]]
    assert code == 0 and {a for a in arguments if a.startswith("--")} <= known
