"""Writes the files that are generated from the table of options: `python -m tests.support.write_documents`."""

from __future__ import annotations

from pathlib import Path

from freepbx_bx24.settings import document

ROOT = Path(__file__).parents[2]
DOCUMENTS = {"etc/freepbx_bx24.yaml": document.sample, "docs/configuration.md": document.reference}

if __name__ == "__main__":
    for name, content in DOCUMENTS.items():
        (ROOT / name).write_text(content(), encoding="utf-8")
