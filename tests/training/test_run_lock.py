"""Locks of run folders, and workers that end with their launcher."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unimask.errors import TrainingError
from unimask.training import run_lock, train
from unimask.training.run_lock import lock_folder

HOLDER = """
import os, sys, time
from pathlib import Path
from unimask.training.run_lock import lock_folder

with lock_folder(Path(sys.argv[1])):
    child = os.fork()  # as processes that read images are, which outlive a killed parent
    if child == 0:
        time.sleep(600)
        os._exit(0)
    print(child, flush=True)
    time.sleep(600)
"""

WORKER = """
import sys, time
from pathlib import Path
from unimask.training.run_lock import end_with_launcher

end_with_launcher()
while True:
    with open(sys.argv[1], "a") as stream:
        stream.write("step\\n")
    time.sleep(0.02)
"""

LAUNCHER = """
import subprocess, sys, time

process = subprocess.Popen([sys.executable, "-c", *sys.argv[1:]])
print(process.pid, flush=True)
process.wait()
"""


def start(*arguments, **environment) -> subprocess.Popen:
    paths = os.pathsep.join([*sys.path, os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths} | environment,
    )


@pytest.fixture
def short_wait(monkeypatch):
    monkeypatch.setattr(run_lock, "WAIT", 0.2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_second_process_is_refused_naming_the_lock_holder(tmp_path, short_wait):
    """A killed holder releases the lock even if its children continue."""
    holder = start(HOLDER, tmp_path)
    child = int(holder.stdout.readline())
    try:
        message = f"process {holder.pid} on {re.escape(socket.gethostname())} since "
        with pytest.raises(TrainingError, match=message) as failed, lock_folder(tmp_path):
            pass
        assert "\n" not in str(failed.value) and "--out" in str(failed.value)
        (tmp_path / "settings.json").write_text("{}")
        with pytest.raises(TrainingError, match=message):
            train(out=tmp_path, resume=True)
        holder.kill()
        holder.wait()
        os.kill(child, 0)  # raises if the child has ended
        with lock_folder(tmp_path):
            pass
    finally:
        holder.kill()
        os.kill(child, signal.SIGKILL)
        holder.stdout.close()


def test_only_the_first_of_several_processes_takes_the_lock(tmp_path, short_wait, monkeypatch):
    with lock_folder(tmp_path):
        monkeypatch.setenv("RANK", "1")
        with lock_folder(tmp_path):
            pass
        monkeypatch.setenv("RANK", "0")
        with pytest.raises(TrainingError, match="in use"), lock_folder(tmp_path):
            pass


@pytest.mark.parametrize("text", ["", "[]", "{}", "\0", '{"pid": 1}'])
def test_an_unknown_lock_holder_counts_as_another_process(tmp_path, short_wait, text):
    with lock_folder(tmp_path):
        (tmp_path / run_lock.HOLDER).write_text(text)
        other = pytest.raises(TrainingError, match="in use by another process")
        with other, lock_folder(tmp_path):
            pass


def test_file_systems_without_locks_are_reported(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(run_lock.FileLock, "acquire", refuse)
    with pytest.warns(UserWarning, match="has no locks"), lock_folder(tmp_path):
        pass


def is_running(number: int) -> bool:
    """Return whether a process is running, and not a zombie."""
    try:
        return Path(f"/proc/{number}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
def test_workers_of_a_killed_launcher_write_nothing_more(tmp_path):
    file = tmp_path / "steps"
    launcher = start(LAUNCHER, WORKER, file, TORCHELASTIC_RUN_ID="x")
    worker = int(launcher.stdout.readline())
    try:
        end = time.monotonic() + 60
        while not file.exists() and time.monotonic() < end:
            time.sleep(0.05)
        launcher.kill()
        launcher.wait()
        end = time.monotonic() + 20
        while is_running(worker) and time.monotonic() < end:
            time.sleep(0.05)
        assert not is_running(worker) and file.exists()
    finally:
        launcher.stdout.close()
        if is_running(worker):
            os.kill(worker, signal.SIGKILL)
