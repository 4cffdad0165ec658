"""The sample and the reference page: what the table says, and the sample works once its gaps are filled."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from freepbx_bx24.errors import ConfigurationError
from freepbx_bx24.settings import document, load
from freepbx_bx24.settings.options import OPTIONS, SECTIONS

ROOT = Path(__file__).parents[3]
WRITE = (
    "from pathlib import Path; from freepbx_bx24.settings import document; "
    "Path('etc/freepbx_bx24.yaml').write_text(document.sample()); "
    "Path('docs/configuration.md').write_text(document.reference())"
)


def uncommented(sample: str) -> str:
    """Do what the sample says: delete the # of every option."""
    return re.sub(r"^( *)#(?=\S)|^#(?=  )", r"\1", sample, flags=re.MULTILINE)


def filled(sample: str, folder: Path) -> str:
    for option in OPTIONS:
        if option.placeholder:
            sample = sample.replace(option.placeholder, option.example)
    sample = sample.replace("/etc/freepbx_bx24.webhook", str(folder / "webhook"))
    return sample.replace("/etc/ssl/certs/portal-ca.pem", str(folder / "bundle.pem"))


@pytest.mark.parametrize(
    ("file", "text"), [("etc/freepbx_bx24.yaml", document.sample()), ("docs/configuration.md", document.reference())]
)
def test_the_file_in_the_tree_is_what_the_table_says(file: str, text: str) -> None:
    assert (ROOT / file).read_text(encoding="utf-8") == text, f'write it anew: python -c "{WRITE}"'


def test_the_sample_says_what_to_put_at_every_gap(folder: Path) -> None:
    file = folder / "bx24.yaml"
    file.write_text(document.sample().replace("/etc/freepbx_bx24.webhook", "webhook"))
    with pytest.raises(ConfigurationError) as refused:
        load(file)
    gaps = [option for option in OPTIONS if option.placeholder]
    assert len(refused.value.problems) == len(gaps) == 3
    for option, line in zip(gaps, refused.value.problems):
        assert f" {option.path}: still the sample's {option.placeholder}; put there: " in line


def test_the_sample_loads_once_its_gaps_are_filled(folder: Path) -> None:
    file = folder / "bx24.yaml"
    file.write_text(filled(document.sample(), folder))
    assert load(file).rules.lines == ()


def test_the_sample_loads_with_every_option_in_use(folder: Path) -> None:
    file = folder / "bx24.yaml"
    file.write_text(filled(uncommented(document.sample()), folder))
    settings = load(file)
    assert settings.rules.lines[0].name == "Sales"
    assert settings.rules.skip_extensions == ("199", "9XX")
    assert settings.rules.people["10101"].extension == "101"
    assert settings.portal.ca_bundle == str(folder / "bundle.pem")


def test_what_the_sample_shows_commented_out_is_the_default_where_there_is_one(folder: Path) -> None:
    file = folder / "bx24.yaml"
    file.write_text(filled(document.sample(), folder))
    plain = load(file)
    examples = r"^(area_code|default_line|  ca_bundle):.*|^(lines|skip|people):\n(?: .*\n)*"
    file.write_text(re.sub(examples, "", filled(uncommented(document.sample()), folder), flags=re.MULTILINE))
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
