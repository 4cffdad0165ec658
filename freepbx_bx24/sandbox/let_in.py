"""The product let into the sandbox portal as a local application, as an administrator does it by `bx24 login`."""

from __future__ import annotations

import re
import subprocess
import urllib.error
import urllib.request
from typing import Any

from ..errors import SandboxError
from .pbx.namespace import Root
from .portal import Portal

SECRET = "/etc/freepbx_bx24.secret"
LOGIN_SECONDS = 30


def named_in(text: str, root: Root, portal: Portal) -> str:
    """The YAML `text` with the portal's application in place of the webhook; its secret is written into the PBX.

    :raises SandboxError: the YAML names no webhook.
    """
    root.outside(SECRET).write_text(portal.application.client_secret + "\n", encoding="utf-8")
    root.run(["sh", "-c", f"chown root:asterisk {SECRET} && chmod 0640 {SECRET}"])
    ways = (
        f"url: {portal.url}",
        f"client_id: {portal.application.client_id}",
        f"client_secret_file: {SECRET}",
        f"oauth_url: {portal.oauth_url}",
    )
    named = "\n".join(f"  {way}" for way in ways)
    text, changed = re.subn("^  webhook_file: .*$", lambda _: named, text, flags=re.MULTILINE)
    if changed != 1:
        raise SandboxError("the YAML of the sandbox names no webhook", "Install the product there anew.")
    return text


def log_in(root: Root) -> None:
    """`bx24 login`: the browser is sent on by the portal, and its address is pasted into the terminal.

    :raises SandboxError: with what it said, where it fails.
    """
    pipe = subprocess.PIPE
    with root.popen(["bx24", "login"], stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as login:
        assert login.stdin and login.stdout
        said = []
        for line in login.stdout:
            said.append(line)
            address = re.search(r"https?://\S+/oauth/authorize/\S+", line)
            if address:
                login.stdin.write(sent_on(address[0]) + "\n")
                login.stdin.flush()
        if login.wait(LOGIN_SECONDS) != 0:
            raise SandboxError(f"bx24 login failed:\n{''.join(said)}", "Look at the product's log.")


class _Stay(urllib.request.HTTPRedirectHandler):
    """Where the browser is sent there is no page."""

    def redirect_request(self, *_: Any) -> None:
        return None


def sent_on(address: str) -> str:
    """Where the portal sends the browser of an administrator who agrees. :raises SandboxError: nowhere."""
    try:
        with urllib.request.build_opener(_Stay).open(address, timeout=LOGIN_SECONDS):
            pass
    except urllib.error.HTTPError as redirect:
        return str(redirect.headers["Location"])
    raise SandboxError("the portal did not send the browser on", "Look at its application's settings.")
