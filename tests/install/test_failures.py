"""What install.sh leaves behind when something goes wrong: what was there before, and a message that says what."""

from __future__ import annotations

import signal
from typing import Iterator, Mapping

import pytest

from freepbx_bx24.sandbox.pbx.namespace import Process
from tests.install.pbx_machine import SOURCE, Machine, differences

CUSTOM = "/etc/asterisk/extensions_custom.conf"
LOG = "/var/log/freepbx-bx24-install.log"
# Nothing listens on this port.
NO_INDEX = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1", "PIP_CACHE_DIR": "/tmp/no-cache"}


@pytest.fixture
def machine(new_machine: Machine) -> Iterator[Machine]:
    """The machine without the product; afterwards the admin's dialplan is as it was."""
    new_machine.removed()
    custom = new_machine.text(CUSTOM)
    yield new_machine
    new_machine.removed()
    new_machine.write(CUSTOM, custom)
    new_machine.pbx.asterisk.reload_dialplan()


def without_log(changes: Mapping[str, tuple[str, str]]) -> Mapping[str, tuple[str, str]]:
    """A failed run leaves its log, which its last message names, and nothing else."""
    return {path: change for path, change in changes.items() if path != LOG}


def test_a_broken_download_puts_everything_back(machine: Machine) -> None:
    before = machine.tree()
    done = machine.install(env=NO_INDEX)
    assert done.returncode == 1
    assert "everything that was changed is put back" in done.stdout and LOG in done.stdout
    assert "refused" in machine.text(LOG)
    assert not without_log(differences(before, machine.tree()))


def test_a_download_with_other_bytes_than_the_locked_ones_is_refused(machine: Machine) -> None:
    lock = f"{SOURCE}/requirements.lock"
    before = machine.tree()
    machine.shell(f"sed -i '/^six==/,/^urllib3/s/sha256:..../sha256:0000/' {lock}")
    try:
        done = machine.install()
    finally:
        machine.copy_source()
    assert done.returncode == 1
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stdout
    assert not without_log(differences(before, machine.tree()))


def test_hooks_that_asterisk_does_not_load_are_taken_back_with_its_reason(machine: Machine) -> None:
    # A missing file after #include makes Asterisk refuse the whole dialplan: the loaded one stays without our hooks.
    machine.write(CUSTOM, machine.text(CUSTOM) + "#include no_such_file.conf\n")
    before = machine.tree()
    done = machine.install()
    assert done.returncode == 1
    assert "did not load the hooks" in done.stderr
    assert "[bx24-in] has no AGI(bx24_register.py)" in done.stderr
    assert f"put back: {CUSTOM}" in done.stdout
    assert not without_log(differences(before, machine.tree()))


def test_a_failing_upgrade_leaves_the_old_version_working(machine: Machine) -> None:
    machine.installed()
    before = machine.tree()
    machine.shell(
        f"echo '# newer' >>{SOURCE}/freepbx_bx24/call.py && echo '; newer' >>{SOURCE}/etc/extensions_bx24.conf"
    )
    try:
        done = machine.install(env=NO_INDEX)
    finally:
        machine.copy_source()
    assert done.returncode == 1
    assert not without_log(differences(before, machine.tree()))
    assert "Nothing to change" in machine.install().stdout


def until(machine: Machine, line: str, *options: str) -> Process:
    """Start an install and return it when it has printed a line that begins so."""
    process = machine.start_install(*options)
    assert process.stdout is not None
    for said in process.stdout:
        if said.startswith(line):
            return process
    raise AssertionError(f"it ended without {line!r}")


@pytest.mark.parametrize("moment", ["make /opt", "add "])
def test_after_kill_9_the_next_run_puts_back_what_was_left_and_then_installs(machine: Machine, moment: str) -> None:
    before = machine.tree()
    process = until(machine, moment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert machine.exists("/opt/freepbx-bx24/checkpoint/undo")
    done = machine.install("--dry-run")
    assert "would put back what the last run, which was cut off, had changed" in done.stdout
    done = machine.install()
    assert done.returncode == 0, done.stderr
    assert "The last run was cut off" in done.stdout
    assert not machine.exists("/opt/freepbx-bx24/checkpoint")
    assert machine.install("--uninstall").returncode == 0
    assert not differences(before, machine.tree())


def test_a_signal_in_the_middle_puts_everything_back(machine: Machine) -> None:
    before = machine.tree()
    process = until(machine, "make /opt")
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    said = process.stdout.read()
    assert process.wait() == 143
    assert "Your system is as it was before" in said
    assert not without_log(differences(before, machine.tree()))


def test_two_at_the_same_time_do_not_meet(machine: Machine) -> None:
    first = until(machine, "make /opt")
    second = machine.install()
    assert first.wait() == 0
    assert (second.returncode, "Nothing to change" in second.stdout) == (0, True)


def test_uninstall_cut_off_is_finished_by_the_next_one(machine: Machine) -> None:
    before = machine.tree()
    machine.installed()
    process = until(machine, "remove /etc/logrotate", "--uninstall")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert machine.install("--uninstall").returncode == 0
    assert not differences(before, machine.tree())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--unknown"], "there is no option --unknown"),
        (["install"], "there is no option install"),
        (["--country"], "--country needs a value"),
        (["--country", "russia"], "found 'russia', allowed: two capital letters"),
        (["--default-person", "Ivan Petrov"], "allowed: an extension, or user:ID"),
        (["--default-line", '7"; rm'], "allowed: a number"),
        (["--webhook-url", "https://example.com/rest/1/secretsecret/"], "does not belong on the command line"),
        (["--purge"], "--purge goes with --uninstall only"),
        (["--once"], "--once goes with --demo only"),
        (["--listen", "0.0.0.0"], "--listen goes with --demo alone"),
        (["--demo", "--once", "--listen", "0.0.0.0"], "--listen goes with --demo alone"),
        (["--demo", "--once", "--remove"], "not both"),
    ],
)
def test_a_wrong_command_line_is_refused_before_anything_is_done(
    machine: Machine, options: list[str], said: str
) -> None:
    done = machine.install(*options)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "secretsecret" not in done.stderr


def test_only_root_may_install(machine: Machine) -> None:
    machine.shell(f"cp -r {SOURCE} /tmp/source && chmod -R a+rX /tmp/source")
    done = machine.root.run(["/tmp/source/install.sh"], user="asterisk", check=False)
    assert (done.returncode, "must be run by root" in done.stderr) == (3, True)
    machine.shell("rm -rf /tmp/source")


def test_a_module_that_the_dialplan_needs_and_asterisk_has_not_loaded_is_named(machine: Machine) -> None:
    machine.pbx.asterisk.rx("module unload func_dialplan.so")
    try:
        done = machine.install()
    finally:
        machine.pbx.asterisk.rx("module load func_dialplan.so")
    assert done.returncode == 3
    assert "func_dialplan.so (for DIALPLAN_EXISTS)" in done.stderr


def test_programs_that_are_there_but_not_ours_are_not_touched(machine: Machine) -> None:
    machine.shell("mkdir /opt/freepbx-bx24 && echo mine >/opt/freepbx-bx24/file")
    before = machine.tree()
    done = machine.install()
    assert (done.returncode, "move it away first" in done.stderr) == (3, True)
    assert not differences(before, machine.tree())
    machine.shell("rm -r /opt/freepbx-bx24")


def test_an_asterisk_that_is_not_running_is_said_and_loads_the_hooks_when_it_starts(machine: Machine) -> None:
    machine.pbx.asterisk.stop()
    try:
        done = machine.install()
    finally:
        machine.pbx.asterisk.start()
    assert done.returncode == 0, done.stderr
    assert "Asterisk is not running" in done.stdout
    assert "Goto(bx24-pstn" in machine.pbx.asterisk.rx("dialplan show from-pstn")


def test_calls_flow_without_extensions_bx24_conf_after_a_restart(machine: Machine) -> None:
    machine.installed()
    machine.shell("rm /etc/asterisk/extensions_bx24.conf")
    machine.pbx.asterisk.restart()
    assert machine.pbx.trunk.call(did="74957770101", number="+79161234567", talk=0.3).wait(30).final_status == 200
    machine.pbx.settle()
    # And the next run brings the file back.
    assert machine.install().returncode == 0
    assert "Goto(bx24-pstn" in machine.pbx.asterisk.rx("dialplan show from-pstn")
