"""Bugs in how threads and ranks share a step."""

from tests.mutants.mutant import Mutant, mutant

TRAINER = "training/trainer.py"

WORKERS = [
    mutant(
        "workers: each clips its own gradient",
        TRAINER,
        "        self._add_up_workers()\n        self.world",
        "        for replica in self.replicas if self.max_norm else []:\n"
        "            scale_down(replica.grads, norm_of(replica.grads), self.max_norm or 1.0)\n"
        "        self._add_up_workers()\n        self.world",
        "tests/training/test_trainer.py",
    ),
    mutant(
        "workers: the norm of a step is that of one worker's gradient",
        TRAINER,
        "gradient_norm = norm_of(grads, self._map, self._concatenate)",
        "gradient_norm = norm_of(self.replicas[-1].grads[own], self._map, self._concatenate)",
        "tests/training/test_trainer.py",
    ),
    mutant(
        "workers: a step may be as many times as long as there are workers",
        TRAINER,
        "scale_down(grads, gradient_norm, self.max_norm, self._map)",
        "scale_down(grads, gradient_norm, self.max_norm * len(self.replicas), self._map)",
        "tests/training/test_trainer.py",
    ),
    mutant(
        "workers: of long vectors the first span alone is added up",
        TRAINER,
        "spans(self.model.grads.size) if len(self.replicas) > 1",
        "spans(self.model.grads.size)[:1] if len(self.replicas) > 1",
        "tests/training/test_trainer.py",
    ),
    mutant(
        "workers: a layer's norms are those of one worker's gradient",
        "analysis/norms.py",
        "in _gradient_norms(model).items()",
        "in _gradient_norms(trainer.replicas[-1]).items()",
        "tests/analysis/test_norms.py",
    ),
    mutant(
        "ranks: a layer's norms are those of one rank's part of the gradient",
        "analysis/norms.py",
        "    trainer.world.gather(model.grads)\n",
        "",
        "tests/analysis/test_norms.py",
    ),
    mutant(
        "ranks: sums of many are added one after the other",
        "training/world.py",
        "        parts = [other[own].copy() for other in self._all(vector)]\n        sum_tree(parts)\n",
        "        parts = [other[own].copy() for other in self._all(vector)]\n"
        "        for part in parts[1:]:\n            parts[0] += part\n",
        "tests/training/test_world.py",
    ),
    mutant(
        "ranks: an optimizer of whole matrices updates its own part of them",
        "optim/optimizer.py",
        "return type(self)._updates is not Optimizer._updates",
        "return False",
        "tests/training/test_world.py",
    ),
    mutant(
        "ranks: the average that is evaluated is that of the own part",
        TRAINER,
        "        with self.average.applied():\n            self.world.gather(self.model.values)\n",
        "        with self.average.applied():\n",
        "tests/training/test_world.py",
    ),
    mutant(
        "ranks: a run that leaves keeps the state of its own part",
        TRAINER,
        "self.optimizer.state = {name: self.world.whole(vector) for name, vector in self.optimizer.state.items()}",
        "self.optimizer.state = dict(self.optimizer.state)",
        "tests/training/test_world.py",
    ),
    mutant(
        "ranks: a part may end within a block",
        "training/world.py",
        "min(num_blocks * rank // self.num_ranks * BLOCK, size)",
        "size * rank // self.num_ranks",
        "tests/training/test_world.py",
    ),
    mutant(
        "shared products: a checkpoint does not know in how many threads",
        "training/resuming.py",
        '        "blas_threads": trainer.blas_threads,\n',
        "",
        "tests/training/test_sharing.py",
    ),
    mutant(
        "shared products: one worker already where there are as many parameters as the limit",
        "training/sharing.py",
        "if num_parameters > PARAMETERS_PER_TOKEN * num_tokens",
        "if num_parameters >= PARAMETERS_PER_TOKEN * num_tokens",
        "tests/training/test_sharing.py",
    ),
    mutant(
        "shared products: the number of threads is that of the workers",
        TRAINER,
        "threadpool_limits(self.blas_threads, ",
        "threadpool_limits(len(self.replicas), ",
        "tests/training/test_sharing.py",
    ),
    Mutant(
        "micro-batches: dropout repeats in each",
        TRAINER,
        (("key = (self.optimizer.num_steps, shard.micro_batch, shard.index)", "key = (self.optimizer.num_steps, 0, shard.index)"),),
        ("tests/training/test_trainer.py",),
    ),
    mutant(
        "micro-batches: each has a mean of its own",
        TRAINER,
        "Shard(part, micro_batch, index, part.num_targets / total)",
        "Shard(part, micro_batch, index, part.num_targets / batch.num_targets / len(batches))",
        "tests/training/test_trainer.py",
    ),
    mutant(
        "micro-batches: a character model learns from the same batch in each",
        "recipes/character_model.py",
        "self.shuffled(step * n + i) for i",
        "self.shuffled(step * n) for i",
        "tests/experiments/test_char_lm.py",
    ),
    mutant(
        "micro-batches: a character model learns from each batch in several steps",
        "recipes/character_model.py",
        "self.shuffled(step * n + i) for i",
        "self.shuffled(step + i) for i",
        "tests/experiments/test_char_lm.py",
    ),
    mutant(
        "micro-batches: a character model skips batches between steps",
        "recipes/character_model.py",
        "self.shuffled(step * n + i) for i",
        "self.shuffled(2 * step * n + i) for i",
        "tests/experiments/test_char_lm.py",
    ),
    mutant(
        "micro-batches: a character model takes one in a step, however many are asked for",
        "recipes/character_model.py",
        "for i in range(n)]",
        "for i in range(1)]",
        "tests/experiments/test_char_lm.py",
    ),
]
