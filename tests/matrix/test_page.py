"""The page as a file; `test_page_in_browser` looks at it."""

import json
import re
import sys

import msgspec
import pytest

from onpanic.core.errors import MissingExtraError
from onpanic.matrix.model.matrix import Matrix
from onpanic.matrix.outputs.html_page import page
from onpanic.matrix.outputs.markdown import markdown

from .libvirt_samples import with_libvirts
from .page_samples import hostile, sample


def test_the_page_is_one_file_that_loads_no_other() -> None:
    """The same matrix gives the same page, which refers to nothing that a browser would load."""
    text = page(sample())
    assert text == page(sample())
    assert re.findall(r'(?:src|href)=(?!"#|"data:,").*|url\(|@import|https?://', text) == []
    assert "default-src 'none'" in text
    assert "MATRIX.md" in re.search("<noscript>(.*)</noscript>", text)[1]  # type: ignore[index]


@pytest.mark.parametrize("matrix", [sample(), hostile()], ids=["sample", "hostile"])
def test_the_data_are_the_matrix_and_cannot_end_their_element(matrix: Matrix) -> None:
    """To HTML the data is the text of one element, and as JSON it is the matrix."""
    found = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page(matrix), re.DOTALL)
    assert len(found) == 1
    assert not set("<>\u2028\u2029") & set(found[0])
    assert msgspec.convert(json.loads(found[0])["matrix"], Matrix) == matrix


def test_markdown_has_no_html_of_a_record() -> None:
    """An emulator may have any name and version; neither ends a table's cell, nor a line."""
    text = markdown(hostile())
    assert "<img" not in text
    assert all(character.isprintable() for character in text.replace("\n", ""))
    tables = [line for line in text.splitlines() if line.startswith("| `")]
    assert tables
    assert all(line.endswith(" |") for line in tables)


def test_libvirts_are_on_the_page_as_a_table() -> None:
    """Their texts cannot end the element either, and the records themselves are not repeated."""
    text = page(with_libvirts(sample(), "</script><b>"))
    found = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    data = json.loads(found[0])
    assert data["libvirts"]["columns"][0]["key"] == "</script><b>"
    assert data["matrix"]["libvirts"] == {}


def test_without_jinja2_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is needed to build a page only."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"^jinja2 is not installed\n.*'onpanic\[matrix\]'"):
        page(sample())
