"""Bugs in how threads and ranks share a step."""

from tests.mutants.mutant import mutant

CHARACTERS = "tests/experiments/test_char_lm.py::"
NORMS = "tests/analysis/test_norms.py::"
RANKS = "tests/training/test_world.py::"
SHARED = "tests/training/test_sharing.py::"
SHARING = "tests/training/test_gradient_sharing.py::"
TRAINED = "tests/training/test_trainer.py::"
TRAINER, WORKERS_OF, SHARDS = "training/trainer.py", "training/workers.py", "training/shards.py"
FORKED, PROCESSES = "training/forked_workers.py", "tests/training/test_forked_workers.py::"

WORKERS = [
    mutant(
        "workers: each clips its own gradient",
        TRAINER,
        "        self.world.add_up(self.model.grads)\n",
        "        for replica in self.workers.replicas if self.max_norm else []:\n"
        "            scale_by(replica.grads, clipping_factor(norm_of(replica.grads), self.max_norm))\n"
        "        self.world.add_up(self.model.grads)\n",
        TRAINED + "test_a_step_is_gradient_then_clipping_then_the_optimizer_at_the_scheduled_rate",
    ),
    mutant(
        "workers: the norm of a step is that of one worker's gradient",
        TRAINER,
        "gradient_norm = norm_of(grads, walk, self._concatenate)",
        "gradient_norm = norm_of(self.workers.replicas[-1].grads[own], walk, self._concatenate)",
        TRAINED + "test_a_step_is_gradient_then_clipping_then_the_optimizer_at_the_scheduled_rate",
    ),
    mutant(
        "workers: a step may be as many times as long as there are workers",
        TRAINER,
        "scale = clipping_factor(gradient_norm, self.max_norm)",
        "scale = clipping_factor(gradient_norm, self.max_norm and self.max_norm * self.num_workers)",
        TRAINED + "test_a_step_is_gradient_then_clipping_then_the_optimizer_at_the_scheduled_rate",
    ),
    mutant(
        "workers: of long vectors the first span alone is added up",
        SHARDS,
        "spans(replicas[0].grads.size) if len(replicas) > 1",
        "spans(replicas[0].grads.size)[:1] if len(replicas) > 1",
        TRAINED + "test_workers_times_micro_batches_give_the_gradient_of_the_one_big_batch",
    ),
    mutant(
        "workers: a layer's norms are those of one worker's gradient",
        "analysis/norms.py",
        "in _gradient_norms(model).items()",
        "in _gradient_norms(trainer.workers.replicas[-1]).items()",
        NORMS + "test_norms_are_those_of_each_layer_before_clipping",
    ),
    mutant(
        "ranks: a layer's norms are those of one rank's part of the gradient",
        "analysis/norms.py",
        "    trainer.world.gather(model.grads)\n",
        "",
        NORMS + "test_norms_are_the_same_in_one_rank_and_in_each_of_two",
    ),
    mutant(
        "ranks: sums of many are added one after the other",
        "training/world.py",
        "        parts = [other[own].copy() for other in self._all(vector)]\n        sum_tree(parts)\n",
        "        parts = [other[own].copy() for other in self._all(vector)]\n"
        "        for part in parts[1:]:\n            parts[0] += part\n",
        RANKS + "test_ranks_add_up_in_that_order",
    ),
    mutant(
        "ranks: an optimizer of whole matrices updates its own part of them",
        "optim/optimizer.py",
        "return type(self)._updates is not Optimizer._updates",
        "return False",
        RANKS + "test_every_shape_gives_the_same_bytes_also_where_a_run_goes_on_with_another[Muon]",
    ),
    mutant(
        "ranks: the average that is evaluated is that of the own part",
        TRAINER,
        "        with self.average.applied():\n            self.world.gather(self.model.values)\n",
        "        with self.average.applied():\n",
        RANKS + "test_every_shape_gives_the_same_bytes_also_where_a_run_goes_on_with_another[AdamW]",
    ),
    mutant(
        "ranks: a run that leaves keeps the state of its own part",
        TRAINER,
        "self.optimizer.state = {name: self.world.whole(vector) for name, vector in self.optimizer.state.items()}",
        "self.optimizer.state = dict(self.optimizer.state)",
        RANKS + "test_when_the_ranks_have_left_the_first_has_all_state",
    ),
    mutant(
        "ranks: a part may end within a block",
        "training/world.py",
        "min(num_blocks * rank // self.num_ranks * BLOCK, size)",
        "size * rank // self.num_ranks",
        RANKS + "test_parts_cover_a_vector_in_whole_blocks",
    ),
    mutant(
        "shared products: a checkpoint does not know in how many threads",
        "training/resuming.py",
        '        "blas_threads": trainer.workers.blas_threads,\n',
        "",
        SHARED + "test_a_run_is_resumed_with_the_blas_threads_that_it_had",
    ),
    mutant(
        "shared gradient: a checkpoint does not know of it",
        "training/resuming.py",
        '        "shares_gradient": True if trainer.workers.sharing else None,',
        "       ",
        SHARING + "test_a_run_is_resumed_with_a_shared_gradient_if_it_had_one",
    ),
    mutant(
        "shared gradient: a worker goes on while others still read its factors",
        "training/gradient_sharing.py",
        "            self._sharing.meet(self._worker, None)",
        "            pass",
        SHARING + "test_the_factors_of_a_product_are_read_before_the_worker_goes_on",
    ),
    mutant(
        "shared gradient: a part that follows on what is written does not count as written",
        "layers/shared_gradient.py",
        "self._num_written = stop",
        "pass",
        "tests/layers/test_shared_gradient.py::test_it_is_the_sum_of_what_was_added_in_this_step",
    ),
    mutant(
        "shared gradient: workers add in the order in which they come",
        "training/meeting.py",
        "workers = sorted(self._first_of(self._brought))",
        "workers = list(self._first_of(self._brought))",
        "tests/training/test_meeting.py::test_what_they_bring_is_in_the_order_of_the_workers",
    ),
    mutant(
        "shared gradient: a worker with more rows never meets the others again",
        "layers/shared_gradient.py",
        "return sharing or going_on or list(brought)",
        "return sharing or list(brought)",
        "tests/training/test_gradient_sharing.py::"
        "test_shards_with_unlike_numbers_of_counted_targets_form_products_together",
    ),
    mutant(
        "shared products: workers without a sequence",
        "training/sharing.py",
        "min(num_threads, num_sequences)",
        "num_threads",
        SHARED + "test_workers_take_whole_sequences_and_blas_the_other_threads",
    ),
    mutant(
        "shared products: the number of threads is that of the workers",
        WORKERS_OF,
        "threadpool_limits(self.blas_threads, ",
        "threadpool_limits(len(self.replicas), ",
        SHARED + "test_blas_has_its_threads_within_the_with_block",
    ),
    mutant(
        "micro-batches: dropout repeats in each",
        TRAINER,
        "key = (num_steps, shard.micro_batch, shard.index)",
        "key = (num_steps, 0, shard.index)",
        TRAINED + "test_dropout_is_drawn_from_seed_step_micro_batch_and_worker",
    ),
    mutant(
        "micro-batches: each has a mean of its own",
        SHARDS,
        "Shard(part, micro_batch, index, num_targets / total)",
        "Shard(part, micro_batch, index, num_targets / batch.num_targets / len(batches))",
        TRAINED + "test_workers_times_micro_batches_give_the_gradient_of_the_one_big_batch",
    ),
    mutant(
        "micro-batches: a character model learns from the same batch in each",
        "recipes/character_model.py",
        "self.shuffled(step * n + i, length) for i",
        "self.shuffled(step * n, length) for i",
        CHARACTERS + "test_the_micro_batches_of_a_step_are_together_one_large_batch",
    ),
    mutant(
        "micro-batches: a character model learns from each batch in several steps",
        "recipes/character_model.py",
        "self.shuffled(step * n + i, length) for i",
        "self.shuffled(step + i, length) for i",
        CHARACTERS + "test_the_micro_batches_of_a_step_are_together_one_large_batch",
    ),
    mutant(
        "micro-batches: a character model skips batches between steps",
        "recipes/character_model.py",
        "self.shuffled(step * n + i, length) for i",
        "self.shuffled(2 * step * n + i, length) for i",
        CHARACTERS + "test_the_micro_batches_of_a_step_are_together_one_large_batch",
    ),
    mutant(
        "micro-batches: a character model takes one in a step, however many are asked for",
        "recipes/character_model.py",
        "for i in range(n)]",
        "for i in range(1)]",
        CHARACTERS + "test_the_micro_batches_of_a_step_are_together_one_large_batch",
    ),
    mutant(
        "workers: they keep the parameters that a model had before it was packed anew",
        WORKERS_OF,
        "        self._show_values()\n",
        "",
        PROCESSES + "test_workers_see_a_model_whose_parameters_have_moved[False]",
    ),
    mutant(
        "workers: spare replicas keep the parameters that a model had before it was packed anew",
        WORKERS_OF,
        "[*self.replicas[1:], *chain(*self._spare)]",
        "self.replicas[1:]",
        PROCESSES + "test_workers_see_a_model_whose_parameters_have_moved[False]",
    ),
    mutant(
        "forked workers: where parameters have moved, they take the vector that they cannot see",
        WORKERS_OF,
        "            if self.are_forked:  # no vector but their own is shared\n",
        "            if self._forked:\n",
        PROCESSES + "test_workers_see_a_model_whose_parameters_have_moved[True]",
    ),
    mutant(
        "forked workers: they keep the parameters that they were forked with",
        WORKERS_OF,
        "values, depth = shared_vector(self.replicas[0].values), ",
        "values, depth = self.replicas[0].values, ",
        PROCESSES + "test_forked_workers_train_to_the_bits_of_threads",
    ),
    mutant(
        "forked workers: the optimizer's state is copied to each as it was at the fork",
        TRAINER,
        "self.optimizer.state = {name: shared_vector(vector) for ",
        "self.optimizer.state = {name: vector for ",
        PROCESSES + "test_the_vectors_of_a_trainer_with_forked_workers_are_in_memory_that_processes_share",
    ),
    mutant(
        "forked workers: the average starts at zero",
        FORKED,
        "    if vector.any():\n        copy[...] = vector\n",
        "",
        PROCESSES + "test_the_vectors_of_a_trainer_with_forked_workers_are_in_memory_that_processes_share",
    ),
    mutant(
        "forked workers: dropout is that of the step at which they were forked",
        TRAINER,
        "key = (num_steps, shard.micro_batch, shard.index)",
        "key = (self.optimizer.num_steps, shard.micro_batch, shard.index)",
        PROCESSES + "test_forked_workers_train_to_the_bits_of_threads",
    ),
    mutant(
        "forked workers: an answer to a call that was interrupted is taken for that to the next",
        FORKED,
        "                while forked.num_unread:\n                    forked.receive()",
        "                pass",
        PROCESSES + "test_a_call_that_was_interrupted_leaves_no_answer_to_the_next",
    ),
    mutant(
        "forked workers: each holds the ends by which others would see that their process has ended",
        FORKED,
        "            os.closerange(3, own)  #",
        "            #",
        PROCESSES + "test_forked_workers_end_when_their_process_is_killed",
    ),
    mutant(
        "forked workers: a process that the program forks ends them",
        FORKED,
        "            if is_maker:\n                forked.kill()",
        "            forked.kill()",
        PROCESSES + "test_a_process_that_the_program_forks_leaves_the_workers_alone",
    ),
    mutant(
        "ranks: of several shards at fault the last is named",
        "training/trainer.py",
        "sorted(self._concatenate(found), key=itemgetter(0, 1))",
        "sorted(self._concatenate(found), key=itemgetter(0, 1), reverse=True)",
        RANKS + "test_all_ranks_name_the_shard_that_diverged_first",
    ),
    mutant(
        "ranks: shares of the loss count the rank's own targets alone",
        "training/shards.py",
        "    total = sum([num_targets for *_, num_targets in parts])",
        "    total = sum([num_targets for _, _, index, num_targets in parts if index in indices])",
        RANKS + "test_every_shape_gives_the_same_bytes_also_where_a_run_goes_on_with_another",
    ),
    mutant(
        "micro-batches: each has its share of its own targets",
        "training/shards.py",
        "        Shard(part, micro_batch, index, num_targets / total)",
        "        Shard(part, micro_batch, index, num_targets / (batches[micro_batch].num_targets * len(batches)))",
        TRAINED + "test_workers_times_micro_batches_give_the_gradient_of_the_one_big_batch",
    ),
    mutant(
        "micro-batches: a character model's short windows end a step late",
        "recipes/character_model.py",
        "if step < self.options.short_steps else None",
        "if step <= self.options.short_steps else None",
        "tests/experiments/test_speedrun.py::test_a_recipe_trains_as_the_experiment_does",
    ),
]
