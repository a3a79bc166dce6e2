"""Settings, names of models, and the command line."""

import pytest

from unimask.errors import SettingsError
from unimask.serving.models import split_names
from unimask.serving.settings import ServerSettings


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"max_batch": 0}, "--max-batch"),
        ({"queue": 0}, "--queue"),
        ({"max_wait_ms": -1.0}, "--max-wait-ms"),
        ({"timeout_s": float("nan")}, "--timeout-s"),
        ({"timeout_s": float("inf")}, "--timeout-s"),
        ({"max_upload_mb": 0.0}, "--max-upload-mb"),
        ({"token": ""}, "token"),
        ({"token": "a b"}, "token"),
        ({"cors_origins": ("example.com",)}, "--cors-origin"),
        ({"cors_origins": ("https://example.com/path",)}, "--cors-origin"),
    ],
)
def test_wrong_settings(values, text):
    with pytest.raises(SettingsError, match=text):
        ServerSettings(**values)


def test_names_of_models():
    sources = split_names(
        ["nuclei", "facebook/mask2former-swin-tiny@main", "runs/a b/", "x.onnx", "town=/m/y.pth"]
    )
    assert sources == {
        "nuclei": "nuclei",
        "mask2former-swin-tiny": "facebook/mask2former-swin-tiny@main",
        "a-b": "runs/a b/",
        "x": "x.onnx",
        "town": "/m/y.pth",
    }


@pytest.mark.parametrize(
    "arguments", [[], ["nuclei", "nuclei"], ["a/b=nuclei"], ["=nuclei"], ["x="], ["..=nuclei"]]
)
def test_wrong_names(arguments):
    with pytest.raises(SettingsError):
        split_names(arguments)


def test_token_of_the_command_line(tmp_path, monkeypatch):
    from unimask.cli.serve import read_token

    monkeypatch.delenv("UNIMASK_TOKEN", raising=False)
    assert read_token(None, None) is None
    monkeypatch.setenv("UNIMASK_TOKEN", "from-environment")
    assert read_token(None, None) == "from-environment"
    assert read_token("given", None) == "given"
    file = tmp_path / "token"
    file.write_text("from-file\n")
    assert read_token(None, file) == "from-file"
    file.write_text("\n")
    with pytest.raises(SettingsError, match="first line"):
        read_token(None, file)
    with pytest.raises(SettingsError, match="one of them"):
        read_token("given", file)


def test_errors_of_the_command(command, check_error, tmp_path):
    code, _, err = command("serve", "nuclei", "--host", "192.0.2.1")
    check_error(code, err, "192.0.2.1", "--host")
    code, _, err = command("serve", tmp_path / "absent.onnx", "--port", "0")
    check_error(code, err, "absent.onnx")
