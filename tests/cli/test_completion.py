"""Shell completion: the shell's own script completes commands, options and values."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from unimask.bundled import bundled_names
from unimask.cli.app import app
from unimask.cli.main import COMMANDS, register_commands

COMPLETED = {"model", "task", "device", "dtype"}
"""Options whose values are completed in every command that has them."""


def complete_in_bash(folder: Path, *words: str) -> list[str]:
    """Return what bash offers for the last of some words, by the script that unimask prints."""
    script = folder / "unimask"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m unimask "$@"\n')
    script.chmod(0o755)
    line = " ".join(f"'{word}'" for word in words)
    code = (
        f"source <(unimask --show-completion bash); COMP_WORDS=({line}); "
        f"COMP_CWORD={len(words) - 1}; _unimask_completion unimask; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    assert not done.stderr
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("unimask", "pre"), ["predict"]),
        (("unimask", "t"), ["track", "train"]),
        (("unimask", "predict", "--conf"), ["--confidence"]),
        (("unimask", "predict", "cells.png", "--task", "p"), ["panoptic"]),
        (("unimask", "export", "rend"), ["rendered-town"]),
        (("unimask", "train", "data", "--model", "runs/"), []),
    ],
)
def test_bash_completes(tmp_path, words, offered):
    assert complete_in_bash(tmp_path, *words) == offered


@pytest.mark.parametrize("name", COMMANDS)
def test_shared_options_complete_their_values(name):
    register_commands()
    command = typer.main.get_command(app).commands[name]
    parameters = {p.name: p for p in command.params if p.name in COMPLETED}
    for parameter in parameters.values():
        context = typer.Context(command)
        assert parameter.shell_complete(context, ""), f"{name} --{parameter.name}"


def test_models_are_the_bundled_ones():
    register_commands()
    command = typer.main.get_command(app).commands["predict"]
    model = next(p for p in command.params if p.name == "model")
    values = [item.value for item in model.shell_complete(typer.Context(command), "")]
    assert values == list(bundled_names())
