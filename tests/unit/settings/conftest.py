"""A folder that holds what a correct YAML names: a webhook file, a client secret, a bundle of certificates."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from freepbx_bx24.settings import tree

WEBHOOK = "https://example.bitrix24.com/rest/1/0123456789abcdef/"

SECRET = "S3cretS3cretS3cretS3cretS3cretS3cretS3cretS3cretS3"


@pytest.fixture(params=[yaml.CSafeLoader, yaml.SafeLoader], ids=["libyaml", "python"])
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of PyYAML's parsers: the second is what an installation without libyaml has."""
    monkeypatch.setattr(tree, "LOADER", request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    webhook = tmp_path / "webhook"
    webhook.write_text(WEBHOOK + "\n")
    webhook.chmod(0o640)
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o640)
    (tmp_path / "bundle.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    return tmp_path
