"""A share of the requests of `python -m schema_requests`."""

import threading

import pytest
from PIL import Image

from unimask.serving.app import create_app
from unimask.serving.models import ServedModel
from unimask.serving.server import DrainingServer, open_socket, run_server
from unimask.serving.settings import ServerSettings


@pytest.fixture
def address(predictor, monkeypatch):
    """A server in a thread."""
    running = []
    startup = DrainingServer.startup

    async def remember(self, sockets=None):
        running.append(self)
        await startup(self, sockets)

    monkeypatch.setattr(DrainingServer, "startup", remember)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    settings = ServerSettings(access_log=False, shutdown_s=2)
    app = create_app([ServedModel("tiny", predictor)], settings)
    with open_socket("127.0.0.1", 0) as listener:
        number = listener.getsockname()[1]
        thread = threading.Thread(target=run_server, args=(app, listener, settings))
        thread.start()
        yield f"http://127.0.0.1:{number}"
        running[0].should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.mark.extra
@pytest.mark.filterwarnings("ignore")
def test_answers_agree_with_the_description(address):
    pytest.importorskip("schemathesis")
    from schema_requests import load_schema, send_all

    statuses = send_all(load_schema(address), 250)
    assert {200, 404, 422} <= set(statuses) and sum(statuses.values()) > 250
