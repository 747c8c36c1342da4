"""Bugs of options and settings: ignored, in each other's place, or not compared."""

from tests.mutants.mutant import mutant

DECODING = "tests/commands/test_decoding.py::"
RESUMING = "tests/training/test_resuming.py::"

OPTIONS = [
    mutant(
        "option: texts that end an answer replace those of the files",
        "commands/decoding.py",
        "[*([said] if isinstance(said, str) else said), *self.stop]",
        "[*self.stop]",
        DECODING + "test_an_option_comes_before_what_the_files_say_and_texts_that_end_an_answer_are_added",
    ),
    mutant(
        "option: what the files say comes before what is typed",
        "commands/decoding.py",
        "return settings | typed",
        "return typed | settings",
        DECODING + "test_an_option_comes_before_what_the_files_say_and_texts_that_end_an_answer_are_added",
    ),
    mutant(
        "option: a temperature of 0 samples",
        "commands/decoding.py",
        "if self.greedy or self.temperature == 0:",
        "if self.greedy:",
        DECODING + "test_an_option_comes_before_what_the_files_say_and_texts_that_end_an_answer_are_added",
    ),
    mutant(
        "option: True and 1 are taken for each other",
        "training/descriptions.py",
        "return isinstance(a, bool) is isinstance(b, bool) and a == b",
        "return a == b",
        "tests/training/test_descriptions.py::test_values_that_python_may_take_for_each_other_differ",
    ),
    mutant(
        "option: min_p is not passed on",
        "generation/settings.py",
        "return Sampling(generator, self.temperature, self.top_k or None, self.top_p, self.min_p)",
        "return Sampling(generator, self.temperature, self.top_k or None, self.top_p)",
        "tests/generation/test_settings.py::test_every_setting_of_sampling_reaches_it",
    ),
    mutant(
        "option: the system's message is forgotten with the conversation",
        "commands/chat.py",
        "            system=self.config.system,\n",
        "            system=self.config.system if not hasattr(self, 'conversation') else None,\n",
        "tests/commands/test_chat.py::test_commands_within_the_chat",
    ),
    mutant(
        "option: the temperature of a run's sample is ignored",
        "recipes/character_model.py",
        "Sampling(np.random.default_rng(options.seed), options.temperature, options.top_k)",
        "Sampling(np.random.default_rng(options.seed), top_k=options.top_k)",
        "tests/experiments/test_char_lm.py::test_every_option_of_the_sample_reaches_it",
    ),
    mutant(
        "option: texts in a schedule are not compared",
        "training/settings.py",
        "if isinstance(constant, int | float | str):",
        "if isinstance(constant, int | float):",
        RESUMING + "test_a_schedule_may_be_any_function_and_none_of_its_settings_is_lost",
    ),
    mutant(
        "stored: squares of which some are negative",
        "training/resuming.py",
        "(tensor < 0).any():",
        "(tensor < 0).all():",
        RESUMING + "test_one_negative_square_is_refused_and_changes_nothing",
    ),
    mutant(
        "stored: an option that this version would have written is missing",
        "training/saving.py",
        "and (is_this_version or field.default is MISSING)",
        "and field.default is MISSING",
        "tests/training/test_saving.py::test_a_description_that_makes_no_sense_is_one_sentence",
    ),
    mutant(
        "conversation: no token of a prompt that is sent again goes through the model",
        "generation/conversation.py",
        "min(same, len(ids) - 1)",
        "same",
        "tests/generation/test_conversation.py::"
        "test_a_message_that_is_sent_again_goes_through_the_model_from_its_last_token_on",
    ),
]
