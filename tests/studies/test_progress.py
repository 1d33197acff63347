import pytest

from rnnatomy.studies import progress


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0, "0 min 00 s"), (75.0, "1 min 15 s"), (119.6, "2 min 00 s")]
)
def test_seconds_are_written_as_minutes_and_seconds(seconds, words):
    assert progress.clock(seconds) == words


def test_a_line_is_printed_by_itself(capsys):
    progress.print_line("one")
    progress.print_line("two")
    assert capsys.readouterr().out == "one\ntwo\n"
