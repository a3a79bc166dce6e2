"""`unimask serve`: answer requests for predictions over HTTP."""

import os
from pathlib import Path
from typing import Annotated

import typer

from unimask.cli.app import CompileOption, app
from unimask.cli.completion import complete_devices, complete_dtypes, complete_models
from unimask.cli.messages import print_line
from unimask.errors import MissingExtraError, SettingsError
from unimask.serving.settings import TOKEN_VARIABLE, ServerSettings

DEFAULTS = ServerSettings()
LOOPBACK = ("127.0.0.1", "::1", "localhost")
PACKAGES = {
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
}


@app.command()
def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Models, the first being the default: a bundled name such as nuclei, a folder, a "
            "training run, an exported .onnx or .xml file or a Hub id; NAME=MODEL sets the name "
            "that clients use.",
            autocompletion=complete_models,
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all networks of the machine.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for a free one.")
    ] = 8000,
    max_batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Largest number of images per forward pass; by default 8 on GPUs, and 1 on CPUs, "
            "where batches save no time.",
        ),
    ] = DEFAULTS.max_batch,
    max_wait_ms: Annotated[
        float, typer.Option(min=0, help="Longest time that an image is held to fill a batch.")
    ] = DEFAULTS.max_wait_ms,
    queue: Annotated[
        int,
        typer.Option(min=1, help="Largest number of images accepted and not yet answered."),
    ] = DEFAULTS.queue,
    max_upload_mb: Annotated[
        float, typer.Option(min=0.001, help="Largest size of a request in megabytes.")
    ] = DEFAULTS.max_upload_mb,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Largest number of pixels of an image.")
    ] = DEFAULTS.max_pixels,
    timeout_s: Annotated[
        float, typer.Option(min=0.001, help="Seconds until a request is answered with an error.")
    ] = DEFAULTS.timeout_s,
    shutdown_s: Annotated[
        float,
        typer.Option(min=0, help="Seconds to answer accepted requests after SIGTERM."),
    ] = DEFAULTS.shutdown_s,
    token: Annotated[
        str | None,
        typer.Option(
            help=f"Bearer token that clients must send. Other users of the machine can read it "
            f"here: use --token-file, or the environment variable {TOKEN_VARIABLE}."
        ),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File whose first line is the bearer token.")
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(help="Origin of another site whose pages may use the server; repeatable."),
    ] = None,
    allow_urls: Annotated[
        bool,
        typer.Option(
            "--allow-urls", help="Let clients send public addresses of images to download."
        ),
    ] = False,
    access_log: Annotated[
        bool, typer.Option(help="Log each request as a line of JSON to stderr.")
    ] = True,
    device: Annotated[
        str,
        typer.Option(
            help="Device to run on: auto, cpu, cuda, cuda:1, mps.", autocompletion=complete_devices
        ),
    ] = "auto",
    dtype: Annotated[
        str,
        typer.Option(
            help="Dtype of networks: float32, bfloat16, float16, int8 or auto.",
            autocompletion=complete_dtypes,
        ),
    ] = "float32",
    compile: CompileOption = False,
) -> None:
    """Serve models over HTTP, with a web page at the server's address."""
    check_packages()
    from unimask.serving.app import create_app
    from unimask.serving.models import ServedModel, split_names
    from unimask.serving.server import end_process, open_socket, run_server

    settings = ServerSettings(
        max_batch=max_batch,
        max_wait_ms=max_wait_ms,
        queue=queue,
        max_upload_mb=max_upload_mb,
        max_pixels=max_pixels,
        timeout_s=timeout_s,
        shutdown_s=shutdown_s,
        token=read_token(token, token_file),
        cors_origins=tuple(cors_origin or ()),
        allow_urls=allow_urls,
        access_log=access_log,
    )
    sources = split_names(models)
    with open_socket(host, port) as listener:
        from unimask.inference import load

        served = [
            ServedModel(name, load(source, device=device, dtype=dtype, compile=compile))  # type: ignore[arg-type]
            for name, source in sources.items()
        ]
        if settings.token is None and host not in LOOPBACK:
            print_line(f"warning: everybody who reaches {host} can use the server: set a token")
        shown = f"[{host}]" if ":" in host else host
        print(f"http://{shown}:{listener.getsockname()[1]}: {', '.join(sources)}", flush=True)
        application = create_app(served, settings)
        run_server(application, listener, settings)
    end_process(application.state.service)


def check_packages() -> None:
    """Check that the packages of the extra are installed.

    Raises:
        MissingExtraError: One is missing.
    """
    from importlib.util import find_spec

    for module, package in PACKAGES.items():
        if find_spec(module) is None:
            raise MissingExtraError(package, "serve")


def read_token(token: str | None, file: Path | None) -> str | None:
    """Return the token of the option, of the file, or of the environment; None for none.

    Raises:
        SettingsError: Two are given, the file cannot be read, or its first line is empty.
    """
    if token is not None and file is not None:
        raise SettingsError("--token and --token-file: pass one of them")
    if file is None:
        return token if token is not None else os.environ.get(TOKEN_VARIABLE)
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--token-file {file} cannot be read ({error})") from None
    if not lines or not lines[0].strip():
        raise SettingsError(f"--token-file {file} has no token in its first line")
    return lines[0].strip()
