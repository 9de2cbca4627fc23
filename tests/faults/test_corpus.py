"""A share of the hostile corpus; all of it: python -m tests.faults.soak --parts corpus."""

from __future__ import annotations

import pytest

from tests.faults.corpus_runs import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_no_input_harms(ask, kind):
    answer = ask(part="corpus", name=kind, most=4)
    assert not answer["faults"], "\n".join(answer["faults"])
    assert answer["tried"] > 4
