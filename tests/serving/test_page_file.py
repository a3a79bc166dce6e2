"""The page's file: what the content security policy would block is not in it."""

import re

from unimask.serving.pages import content_policy, read_page


def test_the_page_needs_nothing_else(client):
    response = client.get("/")
    assert response.status_code == 200 and response.text == read_page()
    assert "'unsafe" not in response.headers["content-security-policy"]
    markup = re.sub(r"<(script|style)\b.*?</\1>", "", response.text, flags=re.DOTALL)
    assert not re.search(r"<[^>]*\s(style|on\w+|src)=", markup)
    addresses = re.findall(r'(?:href|action)="([^"]*)"', markup)
    assert [address for address in addresses if not address.startswith("data:")] == ["docs"]
    assert content_policy(response.text).count("'sha256-") == 3  # style, worker's source, script
