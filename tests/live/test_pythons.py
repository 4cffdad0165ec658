"""The unit and contract tests pass on Pythons 3.9 and 3.14 too, but for those of encoders and those of the service.

The service itself runs on these two Pythons in all other live tests."""

from __future__ import annotations

import re

from .world import REPOSITORY, World

TREE = "/usr/src/freepbx_bx24-tests"
VENV = "/opt/freepbx-bx24-tests"
SECONDS = 900.0
USED = re.compile("b24pysdk|hypothesis|pytest")  # the rest is for lint


def test_the_unit_and_contract_tests_pass_on_the_python_of_this_debian(world: World) -> None:
    root = world.pbx.root
    root.copy_in(
        REPOSITORY, TREE, (".git", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis")
    )
    root.run(["python3", "-m", "venv", VENV], timeout=120)
    pip = [f"{VENV}/bin/pip", "install", "--quiet"]
    root.run([*pip, "--require-hashes", "-r", f"{TREE}/requirements.lock"], timeout=600)
    root.run([*pip, "--require-hashes", "-r", f"{TREE}/requirements-sandbox.lock"], timeout=600)
    wanted = [line for line in (REPOSITORY / "tests/requirements.txt").read_text().split() if USED.match(line)]
    root.run([*pip, *wanted], timeout=600)
    chosen = "-m 'not encoders' --ignore tests/unit/service tests/unit tests/contract"
    tests = f"{VENV}/bin/python -m pytest -q -p no:cacheprovider --capture=sys {chosen}"
    done = root.run(["sh", "-c", f"cd {TREE} && {tests}"], check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stdout[-6000:]
    print(done.stdout.splitlines()[-1])
