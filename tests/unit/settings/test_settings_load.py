"""Loading: what the values become, where the file is looked for, and what is said where a file can't be read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import phonenumbers  # noqa: F401  (loaded while this process may still read it, see as_nobody)
import pytest

from freepbx_bx24.call import Person
from freepbx_bx24.clicks import CallbackRules, ClickRules, Hours
from freepbx_bx24.errors import ConfigurationError
from freepbx_bx24.policy import LineRules, RecordingRules, Rules
from freepbx_bx24.settings import Settings, configuration_path, load

APPLICATION = (
    "portal: {url: https://example.bitrix24.ru, client_id: local.0.1, client_secret_file: secret}\n"
    "country: RU\ndefault_person: 100\npbx_id: pbx-1\n"
)
REQUIRED = "portal: {webhook_file: webhook}\ncountry: RU\ndefault_person: 100\npbx_id: pbx-1\n"
NOBODY = 65534


def written(folder: Path, text: str = REQUIRED) -> Path:
    file = folder / "bx24.yaml"
    file.write_text(text)
    return file


def problems(file: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as refused:
        load(file)
    return refused.value.problems


@contextmanager
def as_nobody() -> Iterator[None]:
    """Where the tests run as root every file can be read: take root's rights away for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_is_left_out_has_its_default(folder: Path) -> None:
    settings = load(written(folder))
    assert settings == Settings(
        path=folder / "bx24.yaml",
        rules=Rules(country="RU", pbx_id="pbx-1", default_person=Person("100"), unlisted=LineRules("")),
        portal=settings.portal,
        wait_in=2.0,
        wait_out=1.0,
        journal_days=90,
        mask_numbers=False,
        manager_file=Path("/etc/asterisk/manager_bx24.conf"),
    )
    assert settings.portal.webhook_url == (folder / "webhook").read_text().strip()
    assert settings.portal.ca_bundle == ""


def test_every_value_is_read_as_it_was_typed(folder: Path) -> None:
    shutil.copy(Path(__file__).parent / "passing" / "every-option.yaml", folder / "bx24.yaml")
    settings = load(folder / "bx24.yaml")
    assert settings.rules == Rules(
        country="RU",
        pbx_id="1e3",
        default_person=Person(user_id=12),
        default_line="+74957770000",
        area_code="0495",
        language="ru",
        lines=(
            LineRules(
                "+74957770000",
                name="no",
                dids=("770002", "_8800333001X", "0123"),
                trunk="null",
                person=Person("0101"),
                source="yes",
                create_in="portal",
                create_out="portal",
                recordings="never",
            ),
            LineRules("+74957770001", source="12:30", create_in="never", create_out="portal", recordings="always"),
            LineRules("+74957770002", source="12:30", create_in="never", create_out="portal", recordings="always"),
        ),
        unlisted=LineRules("", source="12:30", create_in="never", create_out="portal", recordings="always"),
        lines_not_listed="skip",
        skip_dids=("+74957770099",),
        skip_extensions=("199", "9XX", "reception"),
        skip_numbers=("+7800*", "*97"),
        anonymous="+70000000000",
        people={"10101": Person("101"), "no": Person(user_id=7)},
        people_not_in_portal="skip",
        recordings=RecordingRules(
            format="wav",
            kbps=64,
            min_seconds=10,
            voicemail=False,
            several="longest",
            folders=("/var/spool/asterisk/monitor", "/mnt/old calls"),
            base64_up_to=0,
            skip_extensions=("9XX",),
        ),
    )
    assert (settings.wait_in, settings.wait_out) == (0.5, 2.0)
    assert (settings.journal_days, settings.mask_numbers) == (7, True)
    assert settings.portal.ca_bundle == str(folder / "bundle.pem")
    assert settings.manager_file == folder / "manager.conf"
    assert settings.clicks == ClickRules(True, ("RU", "KZ"), 3, "own_mobile")
    hours = Hours(frozenset({5, 6, 0}), 9 * 60 + 30, 24 * 60)
    lines = {"+74957770000": "0600"}
    assert settings.callbacks == CallbackRules("700", lines, hours, "Europe/Moscow", 2, 900.0, 20)
    assert settings.prefixes == {"+74957770000": "09"}
    assert settings.dials and settings.clicks_file == folder / "manager_bx24_clicks.conf"


def test_nothing_is_dialled_where_nothing_is_said(folder: Path) -> None:
    assert not load(written(folder)).dials
    assert not load(written(folder, REQUIRED + "callbacks: {target: off, hours: Mon-Fri 09:00-18:00}\n")).dials
    assert load(written(folder, REQUIRED + "callbacks: {target: 600}\n")).dials


def test_the_file_is_the_argument_or_else_the_environments_or_else_the_usual_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BX24_CONFIG", raising=False)
    assert configuration_path() == Path("/etc/freepbx_bx24.yaml")
    monkeypatch.setenv("BX24_CONFIG", str(written(folder)))
    assert load().path == folder / "bx24.yaml"
    assert configuration_path(Path("other.yaml")) == Path("other.yaml")


def test_a_missing_file_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(tmp_path / "nowhere.yaml")
    assert refused.value.problems == (f"{tmp_path}/nowhere.yaml: no such file",)
    assert "install.sh" in refused.value.hint


@pytest.mark.parametrize("name", ["\0", "a\nb", "x" * 300, "."])
def test_a_name_that_is_no_file_is_one_printable_line(tmp_path: Path, name: str) -> None:
    (line,) = problems(tmp_path / name)
    assert line.isprintable()


def test_an_unreadable_file_is_said_with_the_command_that_mends_it(folder: Path) -> None:
    file = written(folder)
    file.chmod(0)
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(0o755)
    with as_nobody():
        (line,) = problems(file)
    assert line.startswith(f"{file}: the user ")
    assert line.endswith(f"{file} && chmod 0640 {file}")
    assert "chown root:" in line


def test_a_pipe_instead_of_the_file_does_not_hold_the_process(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert problems(folder / "pipe") == (f"{folder}/pipe: not a regular file",)


def test_an_endless_file_is_not_read(folder: Path) -> None:
    file = folder / "bx24.yaml"
    with file.open("wb") as sparse:
        sparse.truncate(10**12)
    assert problems(file) == (f"{file}: longer than 524288 bytes: this is no configuration",)


def test_ten_thousand_mistakes_are_the_first_hundred_and_a_line_that_says_so(folder: Path) -> None:
    found = problems(written(folder, "".join(f"option{number}: x\n" for number in range(10_000))))
    assert len(found) == 101
    assert found[-1].endswith("and more: these are the first 100 problems")


@pytest.mark.parametrize(
    "content",
    [
        "https://example.bitrix24.com/rest/1/0123456789abcdef/",
        "https://example.bitrix24.com/rest/1/0123456789abcdef\r\n\r\n",
        "\ufeff  https://crm.example.com:8443/bitrix/rest/12/0123456789abcdef/  \n",
        "http://127.0.0.1:8080/rest/1/0123456789abcdef/\n",
        "http://localhost/rest/1/0123456789abcdef/\n",
        "http://[::1]:8080/rest/1/0123456789abcdef/\n",
    ],
)
def test_a_webhook_file_gives_the_url_with_one_slash_at_its_end(folder: Path, content: str) -> None:
    (folder / "webhook").write_text(content, encoding="utf-8")
    assert load(written(folder)).portal.webhook_url == content.strip("\ufeff \r\n").rstrip("/") + "/"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"https://example.bitrix24.com/rest/1/S3cretS3cret/\nhttps://example.com/\n", "more than one line"),
        (b"http://example.bitrix24.com/rest/1/S3cretS3cret/\n", "allowed: https"),
        (b"http://127.0.0.1.example.com/rest/1/S3cretS3cret/\n", "allowed: https"),
        (b"http://localhost@example.com/rest/1/S3cretS3cret/\n", "no webhook's URL"),
        (b"ftp://example.bitrix24.com/rest/1/S3cretS3cret/\n", "no webhook's URL"),
        (b"https://u:p@example.bitrix24.com/rest/1/S3cretS3cret/\n", "no webhook's URL"),
        (b"https://example.bitrix24.com/rest/1/S3cretS3cret/?a=b\n", "no webhook's URL"),
        (b"https://example.bitrix24.com/rest/1/S3cretS3cret/profile.json\n", "no webhook's URL"),
        (b"https://example.bitrix24.com:99999/rest/1/S3cretS3cret/\n", "no webhook's URL"),
        (b"https://example.bitrix24.com/rest/1/S3cret S3cret/\n", "no webhook's URL"),
        (b"https://example.bitrix24.com/rest/1/S3cretS3cret\x00/\n", "no webhook's URL"),
        (b"https://example.bitrix24.com/\n", "no webhook's URL"),
        (b"\xff\xfeS3cret", "no webhook's URL"),
        (b"S3cret" * 1000, "longer than 2048 bytes"),
    ],
)
def test_a_webhook_file_that_holds_something_else_is_refused_without_telling_it(
    folder: Path, content: bytes, said: str
) -> None:
    (folder / "webhook").write_bytes(content)
    (line,) = problems(written(folder))
    assert line.startswith(f"{folder}/bx24.yaml:1: portal.webhook_file: {folder}/webhook: ")
    assert said in line
    assert "S3cret" not in line


@pytest.mark.parametrize("mode", [0o644, 0o642, 0o641])
def test_a_webhook_file_that_everybody_can_reach_is_refused_with_the_command_that_mends_it(
    folder: Path, mode: int
) -> None:
    (folder / "webhook").chmod(mode)
    (line,) = problems(written(folder))
    assert "every user of this machine" in line
    assert line.endswith(f"{folder}/webhook && chmod 0640 {folder}/webhook")


def test_the_webhooks_url_is_not_in_the_text_of_the_settings(folder: Path) -> None:
    settings = load(written(folder))
    assert "0123456789abcdef" not in repr(settings) + str(settings) + f"{settings.portal}"


def test_a_local_application_is_read_with_its_secret_which_is_never_told(folder: Path) -> None:
    portal = load(written(folder, APPLICATION)).portal
    assert (portal.url, portal.client_id) == ("https://example.bitrix24.ru", "local.0.1")
    assert portal.client_secret == (folder / "secret").read_text().strip()
    assert (portal.webhook_url, portal.oauth_url, portal.plan) == ("", "", "ordinary")
    assert "S3cret" not in repr(portal) + str(portal)


def test_everything_of_a_local_application_is_read_as_it_was_typed(folder: Path) -> None:
    shutil.copy(Path(__file__).parent / "passing" / "local-application-with-everything.yaml", folder / "bx24.yaml")
    portal = load(folder / "bx24.yaml").portal
    assert (portal.url, portal.client_id) == ("https://[2001:db8::1]:8443", "app.0.1")
    assert (portal.oauth_url, portal.plan) == ("http://127.0.0.1:8024", "self-hosted")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"S3cretS3cret\nS3cretS3cret\n", "more than one line"),
        (b"S3cret S3cret", "no client_secret"),
        (b"S3cret", "no client_secret"),
        (b"S3cretS3cret\x00", "no client_secret"),
        (b"https://example.bitrix24.com/rest/1/S3cretS3cret/", "no client_secret"),
        (b"\xff\xfeS3cret", "no client_secret"),
        (b"S3cret" * 1000, "longer than 2048 bytes"),
    ],
)
def test_a_secret_file_that_holds_something_else_is_refused_without_telling_it(
    folder: Path, content: bytes, said: str
) -> None:
    (folder / "secret").write_bytes(content)
    (line,) = problems(written(folder, APPLICATION))
    assert line.startswith(f"{folder}/bx24.yaml:1: portal.client_secret_file: {folder}/secret: ")
    assert said in line
    assert "S3cret" not in line


@pytest.mark.parametrize("mode", [0o644, 0o642, 0o641])
def test_a_secret_file_that_everybody_can_reach_is_refused_with_the_command_that_mends_it(
    folder: Path, mode: int
) -> None:
    (folder / "secret").chmod(mode)
    (line,) = problems(written(folder, APPLICATION))
    assert "every user of this machine" in line
    assert line.endswith(f"{folder}/secret && chmod 0640 {folder}/secret")


def test_importing_the_settings_loads_neither_phonenumbers_nor_difflib() -> None:
    program = "import sys, freepbx_bx24.settings; print([m for m in ('phonenumbers', 'difflib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
