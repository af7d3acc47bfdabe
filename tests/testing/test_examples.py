"""The `>>>` examples of `automtl.testing` run and say what is printed there."""

import doctest

import pytest

import automtl
from automtl import testing
from tests.house import external, package_sources


@pytest.mark.parametrize("name", ["", *testing.__all__])
def test_the_examples_of_a_public_name_run(name):
    home, said = getattr(testing, name) if name else testing, []
    finder = doctest.DocTestFinder(recurse=False)
    [test] = finder.find(home, name or "automtl.testing", globs={"automtl": automtl})
    assert test.examples and "SKIP" not in test.docstring
    result = doctest.DocTestRunner().run(test, out=said.append)
    assert result.failed == 0, "".join(said)


def test_it_needs_no_pytest():
    sources = [source for source in package_sources() if source.layer == "testing"]
    assert len(sources) >= 7 and not any("pytest" in external(source) for source in sources)
