import sys
import textwrap
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnatomy.studies import hundred
from rnnatomy.studies.engine import identity


class Pair(NamedTuple):
    a: object
    b: object


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(SCALARS, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=8)


def same(a, b):
    """Whether two values are the same, and of the same kind: 1 is not 1.0, nor True."""
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and repr(a) == repr(b)


@given(VALUES, VALUES)
def test_values_have_one_fingerprint_if_they_are_the_same(a, b):
    assert (identity.fingerprint(a) == identity.fingerprint(b)) == same(a, b)


def test_the_order_of_a_table_and_the_kind_of_a_list_do_not_matter():
    assert identity.fingerprint({"a": 1, "b": 2}) == identity.fingerprint({"b": 2, "a": 1})
    assert identity.fingerprint([1, (2, 3)]) == identity.fingerprint((1, [2, 3]))
    assert identity.fingerprint(Pair(1, [2])) == identity.fingerprint({"a": 1, "b": (2,)})
    assert identity.fingerprint(np.float64(0.5)) == identity.fingerprint(0.5)


DIFFERENT = {
    "a number": np.float32([[1, 2], [3, 5]]),
    "the shape": np.float32([1, 2, 3, 4]),
    "the precision": np.float64([[1, 2], [3, 4]]),
    "a sign of zero": np.float32([[1, 2], [3, -4]]),
}


@pytest.mark.parametrize("other", DIFFERENT.values(), ids=DIFFERENT)
def test_arrays_are_known_by_all_that_they_are(other):
    array = np.float32([[1, 2], [3, 4]])
    assert identity.fingerprint(array) != identity.fingerprint(other)
    same = np.asfortranarray(array), jnp.asarray(array)
    assert {identity.fingerprint(one) for one in same} == {identity.fingerprint(array)}


def test_other_values_are_refused():
    with pytest.raises(TypeError, match="a function has no fingerprint: give numbers, words"):
        identity.fingerprint({"a": same})


def test_words_do_not_run_into_each_other():
    several = (["ab", "c"], ["a", "bc"], ["abc"], ["a", "b", "c"], {"ab": "c"}, {"a": "bc"})
    assert len({identity.fingerprint(value) for value in several}) == len(several)


SOURCES = {
    "brandnew/__init__.py": "",
    "brandnew/low.py": """
        '''Words.'''
        RATE = 2
        OTHER = 3

        def scale(x):
            '''Scale.'''
            return RATE * x

        def unused(x):
            return OTHER * x
        """,
    "brandnew/high.py": """
        from brandnew import low
        from brandnew.low import scale as scaled

        TABLE = {"a": scaled}

        class Maker:
            '''Makes.'''
            def make(self, x):
                return helper(x)

        def helper(x):
            if x is None:
                raise ValueError("x is missing")
            return low.scale(x)

        def alone(x):
            return x

        def work(x):
            return Maker().make(x)

        def by_table(x):
            return TABLE["a"](x)
        """,
}


@pytest.fixture
def code_of(tmp_path, monkeypatch):
    """Hash the code of a function of a project, some words of which were replaced."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def ask(function, **changes):
        for name in [name for name in sys.modules if name.partition(".")[0] == "brandnew"]:
            monkeypatch.delitem(sys.modules, name)
        for kept in (identity._source, identity._spec, identity.code):
            kept.cache_clear()
        for name, source in SOURCES.items():
            text = textwrap.dedent(source)
            for old, new in changes.get(name.split("/")[1].removesuffix(".py"), {}).items():
                assert old in text
                text = text.replace(old, new)
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        # what was compiled from the last text has the same size and second
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        import linecache
        from importlib import import_module, invalidate_caches

        invalidate_caches()
        linecache.clearcache()
        return identity.code(getattr(import_module("brandnew.high"), function))

    return ask


CHANGES = {
    "its own": ({"high": {"Maker().make(x)": "Maker().make(x) + 1"}}, True, False),
    "of a class": ({"high": {"return helper(x)": "return helper(-x)"}}, True, False),
    "behind it": ({"high": {"low.scale(x)": "low.scale(x) / 2"}}, True, False),
    "in another module": ({"low": {"RATE * x": "RATE * x * x"}}, True, True),
    "a constant there": ({"low": {"RATE = 2": "RATE = 4"}}, True, True),
    "a table": ({"high": {'"a": scaled': '"a": abs'}}, False, True),
    "what runs on import": ({"low": {"OTHER = 3": "OTHER = 3\nprint()"}}, True, True),
    "not reached": ({"low": {"OTHER * x": "OTHER + x", "OTHER = 3": "OTHER = 5"}}, False, False),
    "not reached here": ({"high": {"return x\n": "return -x\n"}}, False, False),
    "a docstring": ({"low": {"'''Scale.'''": "'''Scale it.'''"}}, False, False),
    "a comment": ({"low": {"RATE = 2": "RATE = 2  # twice"}}, False, False),
    "the wording of an error": ({"high": {"x is missing": "give x"}}, False, False),
    "a condition of an error": ({"high": {"x is None": "x is not None"}}, True, False),
}


@pytest.mark.parametrize(("change", "work", "by_table"), CHANGES.values(), ids=CHANGES)
def test_code_is_all_that_a_function_reaches(code_of, change, work, by_table):
    assert (code_of("work", **change) != code_of("work")) == work
    assert (code_of("by_table", **change) != code_of("by_table")) == by_table


def test_a_study_reaches_its_analyses_and_its_networks():
    reached, waiting = set(), [("rnnatomy.studies.hundred", "measure")]
    while waiting:
        place = waiting.pop()
        if place not in reached and place[0].startswith("rnnatomy"):
            reached.add(place)
            statements, source = identity._statements(place)
            waiting += [
                found for one in statements for found in identity._reached(one, place, source)
            ]
    wanted = {
        ("rnnatomy.analysis.cutoffs", "every_cutoff"),
        ("rnnatomy.networks.cells", "CELLS"),
        ("rnnatomy.networks.models", "Classifier"),
        ("rnnatomy.studies.classifiers", "GEOMETRY"),
        ("rnnatomy.data.datasets", "mnist"),
    }
    assert wanted <= reached
    assert ("rnnatomy.studies.classifiers", "RECIPES") not in reached
    assert not any(module.startswith("rnnatomy.report") for module, _ in reached)
    assert identity.code(hundred.measure) == identity.code(hundred.measure)


def test_versions_are_those_that_compute():
    found = identity.versions()
    assert found["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert found["numpy"] == np.__version__ and set(identity.PACKAGES) < set(found)


def test_what_the_compiler_is_told_counts_but_for_its_threads(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", f"--b=1 {identity.ONE_THREAD} --a=2")
    assert identity.flags() == ["--a=2", "--b=1"]
    monkeypatch.delenv("XLA_FLAGS")
    assert identity.flags() == []
