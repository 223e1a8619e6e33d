"""Places for jobs that are not done: whoever comes when none is wanted any more is not counted."""

from __future__ import annotations

import pytest

from ezpq_exec import ExecutorFull
from ezpq_exec.places import Places


def test_who_comes_when_no_job_is_taken_any_more_is_let_through() -> None:
    """Without a place, however full it is: it is for the gate to say why."""
    places = Places(1, blocks=False)
    places.take(1, lambda: True)
    with pytest.raises(ExecutorFull, match="which is max_pending"):
        places.take(2, lambda: True)
    places.close()
    places.take(3, lambda: True)
