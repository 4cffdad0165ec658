"""A fault behind each step of install.sh in turn, and amid --uninstall: what was there before is there again."""

from __future__ import annotations

import re
from typing import Callable, Iterator

import pytest

from tests.install.pbx_machine import REPOSITORY, SOURCE, Machine, differences

LOG = "/var/log/freepbx-bx24-install.log"
INSTALL = (REPOSITORY / "install.sh").read_text(encoding="utf-8")
STEPS = re.findall(r"^    ([a-z_]+)$", INSTALL.partition("install_all() {")[2].partition("\n}")[0], re.MULTILINE)
# Until here nothing has been changed, and there is nothing to put back.
FIRST_CHANGE = STEPS.index("install_program")


@pytest.fixture(params=["bullseye"])
def without(machine_of: Callable[[str], Machine], request: pytest.FixtureRequest) -> Iterator[Machine]:
    """The machine without the product, but with the packages that it needs."""
    machine = machine_of(request.param)
    machine.installed()
    assert machine.install("--uninstall", "--force").returncode == 0
    yield machine
    machine.copy_source()
    machine.installed()
    machine.removed()


def fault(machine: Machine, file: str, line: str, behind: str) -> None:
    """Make a command that fails the next one behind a line of a script; there must be just one such line."""
    path = machine.root.outside(f"{SOURCE}/{file}")
    text = path.read_text(encoding="utf-8")
    assert text.count(f"\n{line}\n") == 1, line
    path.write_text(text.replace(f"\n{line}\n", f"\n{line}\n{behind}\n"), encoding="utf-8")


def test_a_fault_behind_any_step_of_the_installation_leaves_the_tree_and_asterisk_as_they_were(
    without: Machine,
) -> None:
    before = without.tree()
    for step in STEPS[FIRST_CHANGE:-2]:
        without.copy_source()
        fault(without, "install.sh", f"    {step}", "    injected_fault")
        done = without.install("--country", "RU", "--webhook-url", "-", input="https://x.example/rest/1/abcdef0123/")
        story = f"behind {step}:\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 1, story
        assert "injected_fault" in done.stderr and "Your system is as it was before" in done.stdout, story
        changed = differences(before, without.tree())
        assert set(changed) <= {LOG}, f"{changed} {story}"
        assert "bx24" not in without.pbx.asterisk.rx("dialplan show"), story
        assert "bx24" not in without.pbx.asterisk.rx("manager show users"), story


def test_a_fault_in_the_middle_of_a_removal_leaves_everything_installed_and_working(without: Machine) -> None:
    without.installed()
    before = without.tree()
    for line in ("    reload_without_hooks", "    reload_without_manager", "    # Finished: what was kept for putting"):
        without.copy_source()
        if line.startswith("    #"):
            text = without.text(f"{SOURCE}/etc/install/uninstall.sh")
            line = next(found for found in text.splitlines() if found.startswith(line))
        fault(without, "etc/install/uninstall.sh", line, "    injected_fault")
        done = without.install("--uninstall", "--force")
        assert done.returncode == 1 and "Your system is as it was before" in done.stdout, done.stdout + done.stderr
        changed = differences(before, without.tree())
        assert set(changed) <= {LOG}, f"{changed} behind {line}:\n{done.stdout}\n{done.stderr}"
    without.copy_source()
    assert "Goto(bx24-pstn" in without.pbx.asterisk.rx("dialplan show from-pstn")
    assert "Nothing to change" in without.install().stdout
