"""The portal run alone by a person."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys

import pytest
import requests

RUN = """
import sys
from freepbx_bx24.sandbox.portal.command import run_portal
sys.exit(run_portal(int(sys.argv[1]), *sys.argv[2:]))
"""


def _start(port: int, *listen: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(port), *listen], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_addresses_serves_and_ends_cleanly_on_a_signal(how: signal.Signals) -> None:
    with _start(0) as process:
        assert process.stdout
        addresses = [re.split(r":\s+", process.stdout.readline().strip(), maxsplit=1)[1] for _ in range(3)]
        assert requests.get(addresses[1] + "user.get", timeout=5).json()["total"] == 100
        assert requests.get(addresses[2], timeout=5).json()["requests"][0]["method"] == "user.get"
        process.send_signal(how)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


def test_a_taken_port_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with _start(port) as process:
            output, errors = process.communicate(timeout=10)
    assert (process.returncode, output) == (1, "")
    assert errors == f"The sandbox portal cannot listen on port {port}: Address already in use.\n"


@pytest.mark.parametrize("listen", [(), ("0.0.0.0",)], ids=["this machine", "others, too"])
def test_the_page_is_where_it_is_said_to_be(listen: tuple[str, ...]) -> None:
    with _start(0, *listen) as process:
        assert process.stdout
        said = [process.stdout.readline() for _ in range(8)]
        address = next(line.split()[-1] for line in said if line.startswith("Page:"))
        assert "token=" in address if listen else "127.0.0.1" in address
        with requests.Session() as session:
            session.trust_env = False
            assert "Sandbox portal" in session.get(address, timeout=5).text
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_an_address_of_another_machine_is_refused_in_words() -> None:
    with _start(0, "192.0.2.1") as process:
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "the page cannot listen on 192.0.2.1" in errors
