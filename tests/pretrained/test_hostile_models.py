from pathlib import Path

import pytest

from tests.pretrained.hostile_models import campaign


def test_a_slice_of_the_campaign_of_hostile_models(tmp_path: Path) -> None:
    outcomes = campaign(range(20), tmp_path)
    assert set(outcomes) == {"loaded", "refused", "saved and loaded", "saved and refused"}


@pytest.mark.long
def test_3_000_hostile_models_are_refused_in_a_sentence_or_loaded_and_saved_rightly(tmp_path: Path) -> None:
    outcomes = campaign(range(1000, 4000), tmp_path)
    assert sum(outcomes.values()) == 6_000
