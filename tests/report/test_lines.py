import pytest

from rnnatomy.report import lines


def table(columns):
    head = "".join(f"<th>{k}</th>" for k in range(columns))
    return f"<table><tr>{head}</tr><tr><td>0.5 (0 to 1)</td></tr></table>"


@pytest.mark.parametrize(
    ("page", "kept"),
    [
        ("<p>of 0.53 (0.41 to 0.64) here</p>", "<p>of 0.53 (0.41~to~0.64) here</p>"),
        ("<td>+1,020 (-3 to +2,000)</td>", "<td>+1,020 (-3~to~+2,000)</td>"),
        ("97.1% (95% to 98%)", "97.1% (95%~to~98%)"),
        ("each (1 to 8), or from 2 to 5", "each (1~to~8), or from 2 to 5"),
        ("<pre>0.5 (0.4 to 0.6)</pre>0.5 (0 to 1)", "<pre>0.5 (0.4 to 0.6)</pre>0.5 (0~to~1)"),
        (table(5), table(5).replace("0 to 1", "0~to~1")),
        (table(6), table(6)),
        ("<script>1 (0 to 2)</script><p>a</p>", "<script>1 (0 to 2)</script><p>a</p>"),
    ],
)
def test_an_interval_stays_on_one_line_and_code_as_it_is(page, kept):
    assert lines.together(page) == kept.replace("~", "\u00a0")
    assert lines.together(kept.replace("~", "\u00a0")) == kept.replace("~", "\u00a0")
