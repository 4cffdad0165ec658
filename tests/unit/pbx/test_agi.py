"""No text from outside changes what Asterisk reads in an AGI command; no reply of Asterisk can hold or break us."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import threading
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from freepbx_bx24.errors import ChannelError
from freepbx_bx24.pbx.agi import LONGEST_VALUE, Conversation, conversation_over, harmless
from tests.support.agi_script import REPOSITORY

HOSTILE = [
    '"\nSET VARIABLE PWNED 1',
    '" "x',
    "\\",
    'x\\" y',
    "${SHELL(touch pwned)}",
    "$[1+1]",
    "a,b;c|d&e",
    "\x1b]0;title\x07\x9b31m",
    "line\u2028separator\u2029and\x85more\x0b\x0c",
    "right\u202eto left\u2066",
    "\ud800lone surrogate",
    "\x00",
    "x" * 100_000,
]
ANY_TEXT = some.text(some.characters()) | some.sampled_from(HOSTILE)


def words_as_asterisk_reads_them(line: str) -> list[str]:
    """Asterisk's way to split an AGI command: blanks between words, quotes around one, a backslash before a literal."""
    words: list[str] = []
    quoted = escaped = False
    blank = True
    for mark in line:
        if mark == '"' and not escaped:
            quoted = not quoted
            if quoted and blank:
                words.append("")
                blank = False
        elif mark in " \t" and not quoted and not escaped:
            blank = True
        elif mark == "\\" and not escaped:
            escaped = True
            continue
        else:
            if blank:
                words.append("")
                blank = False
            words[-1] += mark
        escaped = False
    return words


def said(value: str, name: str = "REASON") -> str:
    """What goes over the relay when a variable is set to a value."""
    wire = io.StringIO()
    Conversation(io.StringIO("200 result=1\n"), wire).set_outputs({name: value})
    command, done = wire.getvalue()[: -len("done\n")], wire.getvalue()[-len("done\n") :]
    assert done == "done\n"
    return command


@given(ANY_TEXT)
@example("\udcff")
def test_for_any_text_the_command_is_one_line_whose_only_quotes_are_the_two_we_put(value: str) -> None:
    line = said(value)
    assert line.startswith('agi SET VARIABLE __BX24_REASON "')
    assert line.endswith('"\n')
    assert line.count('"') == 2
    assert line.count("\n") == 1
    assert len(line.splitlines()) == 1


@given(ANY_TEXT)
def test_for_any_text_asterisk_reads_the_command_the_name_and_one_value(value: str) -> None:
    words = words_as_asterisk_reads_them(said(value)[len("agi ") :].rstrip("\n"))
    assert words == ["SET", "VARIABLE", "__BX24_REASON", harmless(value)]


def test_this_test_would_notice_if_nothing_were_made_harmless() -> None:
    raw = 'SET VARIABLE __BX24_REASON "" "x"'
    assert words_as_asterisk_reads_them(raw) != ["SET", "VARIABLE", "__BX24_REASON", '" "x']


@given(ANY_TEXT)
def test_harmless_text_has_no_mark_with_a_meaning_to_dialplan_terminal_or_page(value: str) -> None:
    text = harmless(value)
    assert not set(text) & set("\"'`${}[],;\\<>|&")
    assert not {unicodedata.category(mark) for mark in text} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert len(text) <= LONGEST_VALUE
    assert text == text.strip()
    assert harmless(text) == text


@pytest.mark.parametrize("text", ["", "Иван Петров", "ООО Ромашка (Москва)", "+7 916 123-45-67", "100% José № 1"])
def test_ordinary_names_and_numbers_stay_as_they_are(text: str) -> None:
    assert harmless(text) == text


def test_several_variables_go_out_in_order_before_the_first_reply_is_read_and_each_reply_is_looked_at() -> None:
    wire = io.StringIO()
    Conversation(io.StringIO("200 result=1\n200 result=1\n"), wire).set_outputs({"REASON": "", "STATUS": "PENDING"})
    said = 'agi SET VARIABLE __BX24_REASON ""\nagi SET VARIABLE __BX24_STATUS "PENDING"\n'
    assert wire.getvalue() == said + "done\n"  # the relay need not ask whether that was all
    with pytest.raises(ChannelError):
        Conversation(io.StringIO("200 result=1\n510 no\n"), io.StringIO()).set_outputs({"REASON": "", "STATUS": "X"})


def test_a_command_with_control_characters_never_leaves() -> None:
    wire = io.StringIO()
    with pytest.raises(ChannelError, match="held back"):
        Conversation(io.StringIO(), wire).send_command("SET VARIABLE", "X\nHANGUP", "1")
    assert wire.getvalue() == ""


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "\n",
        "510 Invalid or unknown command\n",
        "511 Command Not Permitted on a dead channel\n",
        "520-Invalid command syntax.  Proper usage follows:\n",
        "HANGUP\n",
        "nonsense\n",
        "\x00\xff\n",
    ],
)
def test_any_other_reply_than_success_is_said_and_ends_the_conversation_at_once(reply: str) -> None:
    with pytest.raises(ChannelError):
        Conversation(io.StringIO(reply), io.StringIO()).set_outputs({"STATUS": "REGISTERED"})


def test_a_guard_that_leaves_in_the_middle_is_a_channel_error_and_no_endless_wait() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(5)

    def leave() -> None:
        theirs.recv(1000)
        theirs.sendall(b"520-Invalid command syntax.\n")
        theirs.close()

    with ours, conversation_over(ours) as conversation:
        thread = threading.Thread(target=leave)
        thread.start()
        with pytest.raises(ChannelError):
            conversation.set_outputs({"STATUS": "REGISTERED"})
        thread.join()
        with pytest.raises(ChannelError):
            conversation.set_outputs({"STATUS": "REGISTERED"})


def test_a_silent_guard_is_a_channel_error_after_the_sockets_time() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0.05)
    with ours, theirs, conversation_over(ours) as conversation, pytest.raises(ChannelError):
        conversation.set_outputs({"STATUS": "REGISTERED"})


def test_nothing_is_written_to_stderr_and_no_signal_handler_is_set(capfd: pytest.CaptureFixture[str]) -> None:
    import signal

    before = signal.getsignal(signal.SIGHUP)
    said("secret name")
    assert signal.getsignal(signal.SIGHUP) is before
    assert capfd.readouterr() == ("", "")


def test_names_in_any_script_are_sent_in_utf_8_whatever_the_processs_locale() -> None:
    code = (
        "import socket; from freepbx_bx24.pbx.agi import conversation_over\n"
        r"a, b = socket.socketpair(); b.sendall(b'200 result=1\n')" + "\n"
        r"with conversation_over(a) as over: over.set_outputs({'CRM_NAME': '\u0418\u0432\u0430\u043d'})" + "\n"
        "print(b.recv(99))"
    )
    environment = {**os.environ, "LC_ALL": "en_US.ISO-8859-1", "LANG": "en_US.ISO-8859-1", "PYTHONUTF8": "0"}
    environment["PYTHONCOERCECLOCALE"] = "0"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "\\xd0\\x98\\xd0\\xb2\\xd0\\xb0\\xd0\\xbd" in printed
