"""Bugs where logits are not held, and in Muon's matrices."""

from tests.mutants.mutant import mutant

HELD = "tests/models/test_held_logits.py"
GPT = "models/decoder_only.py"
IN_PARTS = "self._features(ids, mask=mask, positions=positions, generator=generator, trace=trace)"
MUON = "tests/optim/test_muon.py"

LOSSES = [
    mutant("logits in parts: without dropout", GPT, IN_PARTS, IN_PARTS.replace("=generator", "=None"), HELD),
    mutant("logits in parts: without the mask", GPT, IN_PARTS, IN_PARTS.replace("=mask", "=None"), HELD),
    mutant("logits in parts: without the positions", GPT, IN_PARTS, IN_PARTS.replace("=positions", "=None"), HELD),
    mutant(
        "logits in parts: an encoder without dropout",
        "models/transformer.py",
        "self.encode(source, mask, generator=generator, trace=trace)\n            x, features",
        "self.encode(source, mask, trace=trace)\n            x, features",
        HELD,
    ),
    mutant(
        "logits in parts: a decoder without dropout",
        "models/transformer.py",
        "self._features(ids, memory, mask, generator=generator, trace=trace)\n            loss",
        "self._features(ids, memory, mask, generator=None, trace=trace)\n            loss",
        HELD,
    ),
    mutant(
        "logits in parts: a source read with its padding",
        "models/transformer.py",
        "mask = self._mask(source, source_lengths)\n            memory",
        "mask = self._mask(source, None)\n            memory",
        HELD,
    ),
    mutant(
        "logits in parts: the head's gradient overwritten",
        "ops/linear_cross_entropy.py",
        "add_dweight_to[:, part] += dweight_part",
        "add_dweight_to[:, part] = dweight_part",
        "tests/ops/test_linear_cross_entropy.py",
    ),
    mutant(
        "logits in parts: the gradient of the head's bias overwritten",
        "layers/linear.py",
        "_, dbias = loss_backward(dloss)\n            if self.bias is not None:\n                self.bias.grad += dbias",
        "_, dbias = loss_backward(dloss)\n            if self.bias is not None:\n                self.bias.grad[...] = dbias",
        "tests/layers/test_linear.py",
    ),
    mutant(
        "logits in parts: not in parts although they are many",
        "models/held_logits.py",
        "num_logits <= MOST_HELD_LOGITS or",
        "num_logits <= 2 * MOST_HELD_LOGITS or",
        HELD,
    ),
    mutant(
        "Muon: matrices that stand side by side made orthogonal as one",
        "optim/muon.py",
        "zip(*(np.split(view[name], count, axis=1) for view in views), strict=True)",
        "zip(*([view[name]] for view in views), strict=True)",
        MUON,
    ),
    mutant("Muon: length of the step by the shorter side", "optim/muon.py", "math.sqrt(max(p.shape))", "math.sqrt(min(p.shape))", MUON),
    mutant("Muon: momentum without the newest gradient", "optim/muon.py", "u = b * m + (1 - b) * g", "u = m", MUON),
    mutant(
        "Muon: no weight decay of matrices", "optim/muon.py", "p *= 1 - learning_rate * self.weight_decay", "pass", MUON
    ),
    mutant(
        "Muon: what lies between two matrices is updated twice",
        "optim/muon.py",
        "for begin, end in self.between for span",
        "for begin, end in [*self.between, *self.between[1:2]] for span",
        MUON,
    ),
    mutant(
        "Muon: tables and the head made orthogonal as well",
        "models/block_matrices.py",
        'if name.startswith("blocks.") and parameter.value.ndim == 2',
        "if parameter.value.ndim == 2",
        "tests/models",
    ),
    mutant(
        "Muon: the gate and the values of a gated map made orthogonal as one",
        "models/block_matrices.py",
        '        pairs.append("feed_forward.up.weight")\n',
        "        pass\n",
        "tests/models",
    ),
]
