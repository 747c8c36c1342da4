"""Which processes are ranks of a launcher of MPI."""

import os

import pytest

from scratchformer.launched import launcher, rank_of_launcher


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, None),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, (1, 2)),
        ({"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "4"}, (3, 4)),
        ({"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2"}, (1, 2)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "2"}, None),  # the script of a job
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "2"}, None),  # a shell in a job
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "PMI_RANK": "1", "PMI_SIZE": "2"}, (1, 2)),
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, (0, 1)),
    ],
)
def test_a_rank_is_known_by_the_variables_of_its_launcher(
    variables: dict[str, str], found: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", variables)
    assert rank_of_launcher() == found


def test_a_run_goes_on_with_the_launcher_that_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for tasks, name in (("4", "srun"), ("2", "mpiexec")):  # two nodes, on which mpiexec has started four ranks
        monkeypatch.setattr(os, "environ", {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": tasks})
        assert launcher(4) == name
    monkeypatch.setattr(os, "environ", {})
    assert launcher(1) == "mpiexec"
