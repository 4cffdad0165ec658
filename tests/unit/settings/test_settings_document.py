"""The sample and the reference page: what the table says, and the sample works once its gaps are filled."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from freepbx_bx24.errors import ConfigurationError
from freepbx_bx24.settings import document, load
from freepbx_bx24.settings.options import OPTIONS, SECTIONS
from tests.support.write_documents import DOCUMENTS, ROOT

WEBHOOK = "webhook_file"
APPLICATION = "(url|client_id|client_secret_file)"


def with_way(sample: str, way: str) -> str:
    """Do what an admin does who has one of the two ways into the portal: delete the # of its options."""
    return re.sub(rf"^  #({way}: )", r"  \1", sample, flags=re.MULTILINE)


def without_way(sample: str, way: str) -> str:
    return re.sub(rf"^  {way}: .*\n", "", sample, flags=re.MULTILINE)


def uncommented(sample: str) -> str:
    """Do what the sample says: delete the # of every option."""
    return re.sub(r"^( *)#(?=\S)|^#(?=  )", r"\1", sample, flags=re.MULTILINE)


def filled(sample: str, folder: Path) -> str:
    for option in OPTIONS:
        if option.placeholder:
            sample = sample.replace(option.placeholder, option.example)
    sample = sample.replace("/etc/freepbx_bx24.webhook", str(folder / "webhook"))
    sample = sample.replace("/etc/freepbx_bx24.secret", str(folder / "secret"))
    return sample.replace("/etc/ssl/certs/portal-ca.pem", str(folder / "bundle.pem"))


@pytest.mark.parametrize("file", DOCUMENTS)
def test_the_file_in_the_tree_is_what_the_table_says(file: str) -> None:
    said = (ROOT / file).read_text(encoding="utf-8")
    assert said == DOCUMENTS[file](), "write it anew: python -m tests.support.write_documents"


def test_the_sample_says_what_to_put_at_every_gap(folder: Path) -> None:
    file = folder / "bx24.yaml"
    file.write_text(document.sample())
    with pytest.raises(ConfigurationError) as refused:
        load(file)
    gaps = [option for option in OPTIONS if option.placeholder]
    way, *others = refused.value.problems
    assert re.search(r":1\d: portal: missing; allowed: url, client_id and client_secret_file, or webhook_file$", way)
    assert len(others) == len(gaps) == 3
    for option, line in zip(gaps, others):
        assert f" {option.path}: still the sample's {option.placeholder}; put there: " in line


@pytest.mark.parametrize("way", [WEBHOOK, APPLICATION])
def test_the_sample_loads_once_its_gaps_are_filled(folder: Path, way: str) -> None:
    file = folder / "bx24.yaml"
    file.write_text(filled(with_way(document.sample(), way), folder))
    settings = load(file)
    assert settings.rules.lines == ()
    assert bool(settings.portal.webhook_url) == (way == WEBHOOK)
    assert bool(settings.portal.client_secret and settings.portal.client_id) == (way == APPLICATION)


@pytest.mark.parametrize("other", [WEBHOOK, APPLICATION])
def test_the_sample_loads_with_every_option_in_use(folder: Path, other: str) -> None:
    file = folder / "bx24.yaml"
    file.write_text(without_way(filled(uncommented(document.sample()), folder), other))
    settings = load(file)
    assert settings.rules.lines[0].name == "Sales"
    assert settings.rules.skip_extensions == ("199", "9XX")
    assert settings.rules.people["10101"].extension == "101"
    assert settings.portal.ca_bundle == str(folder / "bundle.pem")


def test_what_the_sample_shows_commented_out_is_the_default_where_there_is_one(folder: Path) -> None:
    file = folder / "bx24.yaml"
    file.write_text(filled(with_way(document.sample(), WEBHOOK), folder))
    plain = load(file)
    options = (
        "area_code|default_line|  ca_bundle|  oauth_url|  folders|  skip_extensions|  countries|  timezone|  address"
    )
    examples = rf"^({options}):.*|^(lines|skip|people):\n(?: .*\n)*"
    everything = without_way(filled(uncommented(document.sample()), folder), APPLICATION)
    file.write_text(re.sub(examples, "", everything, flags=re.MULTILINE))
    assert load(file) == plain


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.path)
def test_every_option_is_in_the_reference_and_in_the_sample(option) -> None:  # type: ignore[no-untyped-def]
    assert f"| `{option.path.replace('*', 'NAME')}` |" in document.reference()
    if not option.path.endswith("*"):
        assert f"{option.path.split('.')[-1]}: " in document.sample()


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.path)
def test_every_default_and_example_is_of_the_options_kind(option) -> None:  # type: ignore[no-untyped-def]
    typed = [text.strip(' "') for text in option.example.strip("[]").split(",")] if option.kind.is_list else None
    for text in typed or [text.strip('"') for text in (option.default, option.example) if text]:
        option.kind.read(text)
    if option.placeholder and option.path != "pbx_id":
        with pytest.raises(ValueError):
            option.kind.read(option.placeholder)


def test_every_group_is_explained() -> None:
    explained = {section.path for section in SECTIONS}
    groups = {option.path.rsplit(".", 1)[0] for option in OPTIONS if "." in option.path}
    assert {group for group in groups if not group.endswith("*")} <= explained
