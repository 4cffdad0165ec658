"""The product let into the portal as a local application by `bx24 login`, for the length of a test."""

from __future__ import annotations

import contextlib
import re
import subprocess
import urllib.error
import urllib.request
from typing import Any, Iterator

from freepbx_bx24.sandbox.product import YAML

from .world import World

SECRET = "/etc/freepbx_bx24.secret"
TOKENS = "/var/lib/freepbx-bx24/token.json"


@contextlib.contextmanager
def logged_in(world: World) -> Iterator[None]:
    """The YAML names the portal's application, and an administrator has let it in; the webhook again afterwards."""
    root, portal = world.pbx.root, world.portal
    secret = root.outside(SECRET)
    secret.write_text(portal.application.client_secret + "\n")
    root.run(["sh", "-c", f"chown root:asterisk {SECRET} && chmod 0640 {SECRET}"])
    ways = [
        f"url: {portal.url}",
        f"client_id: {portal.application.client_id}",
        f"client_secret_file: {SECRET}",
        f"oauth_url: {portal.oauth_url}",
    ]
    text, changed = re.subn(
        "^  webhook_file: .*$",
        "\n".join(f"  {way}" for way in ways),
        root.outside(YAML).read_text(),
        flags=re.MULTILINE,
    )
    assert changed == 1, text
    try:
        with world.yaml(text):
            log_in(world)
            yield
    finally:
        secret.unlink()
        root.outside(TOKENS).unlink(missing_ok=True)


def log_in(world: World) -> None:
    """`bx24 login`: the browser is sent on by the portal, and its address is pasted into the terminal."""
    pipe = subprocess.PIPE
    with world.pbx.root.popen(["bx24", "login"], stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as login:
        assert login.stdin and login.stdout
        said = []
        for line in login.stdout:
            said.append(line)
            address = re.search(r"https?://\S+/oauth/authorize/\S+", line)
            if address:
                login.stdin.write(sent_on(address[0]) + "\n")
                login.stdin.flush()
        assert login.wait(30) == 0, "".join(said)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Where the browser is sent there is no page."""

    def redirect_request(self, *_: Any) -> None:
        return None


def sent_on(address: str) -> str:
    """The address to which the portal sends the browser of an administrator who agrees."""
    try:
        with urllib.request.build_opener(_Stay).open(address, timeout=10):
            raise AssertionError("the portal did not send the browser on")
    except urllib.error.HTTPError as redirect:
        return str(redirect.headers["Location"])
