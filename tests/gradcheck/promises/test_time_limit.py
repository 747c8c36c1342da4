import time
from functools import partial

import pytest

from scratchformer.gradcheck.promises import time_limit


def test_what_is_in_no_line_of_the_user_is_told_without_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limit, "LIBRARIES", ("",))  # every line is of some library
    with pytest.raises(time_limit.StillRunning, match=r"^still running after 0 s$"):
        time_limit.limited(partial(time.sleep, 0.1), 0.01)
