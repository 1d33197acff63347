"""Formulas as MathML, and where they stand in a page."""

import re

import pytest
from docutils import nodes

from rnnatomy.report import mathematics


@pytest.mark.parametrize(
    ("tex", "holds"),
    [
        ("h_t", "<msub><mi>h</mi><mi>t</mi></msub>"),
        (r"\mathbf{1}", "𝟏"),
        (r"\arg\max_k z", "max"),
        (r"p(x \mid \zeta)", "∣"),
        (r"\text{ink}_t", "ink"),
    ],
)
def test_a_formula_becomes_mathml_and_keeps_its_tex(tex, holds):
    for display in (False, True):
        found = mathematics.convert(tex, display)
        assert found.startswith('<math display="block">' if display else "<math>")
        assert holds in found
        annotation = re.search(r'<annotation encoding="application/x-tex">(.*)</annotation>', found)
        assert annotation[1] == tex


@pytest.mark.parametrize("parting", [r" \\ ", "\n\n"])
def test_lines_are_aligned(parting):
    found = mathematics.convert(f"a &= b{parting}c &= d", True)
    assert found.count("<mtr>") == 2 and "&=" not in found.split("<annotation")[0]
    inside = mathematics.convert(r"\begin{aligned} a &= b \\ c &= d \end{aligned}", True)
    assert inside.count("<mtr>") == 2


@pytest.mark.parametrize("kind", ["align", "gather", "equation"])
def test_the_site_counts_equations_and_tex_does_not(kind):
    found = mathematics.convert(rf"\begin{{{kind}}} a = b \end{{{kind}}}", True)
    assert "(1)" not in found


@pytest.mark.parametrize("tex", [r"\nothingofthekind x", r"\frac{1}", "x_{", r"\begin{nosuch}"])
def test_what_is_no_formula_is_named(tex):
    with pytest.raises(mathematics.FormulaError, match="cannot be set") as caught:
        mathematics.convert(tex, False)
    assert tex in str(caught.value).replace("\\\\", "\\") and "\n" not in str(caught.value)


def paragraph(*parts):
    document = nodes.document(None, None)
    document += nodes.paragraph("", "", *parts)
    mathematics.keep_together(None, document, "page")
    return document[0]


def test_punctuation_stays_with_its_formula():
    found = paragraph(nodes.math("", "x"), nodes.Text("), that is y"))
    assert [child.astext() for child in found] == ["x),", " that is y"]
    assert found[0]["classes"] == ["unbroken"]


@pytest.mark.parametrize("after", [" is", "s", ""])
def test_words_do_not(after):
    found = paragraph(nodes.math("", "x"), nodes.Text(after))
    assert isinstance(found[0], nodes.math) and found[1].astext() == after
