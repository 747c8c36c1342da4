"""Bugs of memory that is shared: something is written that others still read."""

from tests.mutants.mutant import mutant

ALIASING = [
    mutant(
        "aliasing: a causal mask that is handed out is the one that is kept",
        "ops/masks.py",
        "_kept_tri(num_queries, num_keys, last_key).copy()",
        "_kept_tri(num_queries, num_keys, last_key)",
        "tests/ops/test_mask_builders.py",
    ),
    mutant(
        "aliasing: a combined mask is written into the first of them",
        "ops/masks.py",
        "allowed = reduce(np.logical_and, booleans) if booleans else None",
        "if len(booleans) > 1 and booleans[0].shape == booleans[1].shape:\n"
        "        booleans[0] &= booleans[1]\n"
        "    allowed = reduce(np.logical_and, booleans) if booleans else None",
        "tests/ops/test_mask_builders.py",
    ),
    mutant(
        "aliasing: an additive mask is summed up in the first of them",
        "ops/masks.py",
        "added = reduce(np.add, floating) if floating else None",
        "if len(floating) > 1 and floating[0].shape == floating[1].shape:\n"
        "        floating = [np.add(floating[0], floating[1], out=floating[0]), *floating[2:]]\n"
        "    added = reduce(np.add, floating) if floating else None",
        "tests/ops/test_mask_builders.py",
    ),
    mutant(
        "aliasing: a step of gradient descent scales the gradient",
        "optim/sgd.py",
        "                theta -= learning_rate * g\n",
        "                g *= learning_rate\n                theta -= g\n",
        "tests/optim/test_sgd.py",
    ),
    mutant(
        "aliasing: Adam's step squares the gradient in place",
        "optim/adam.py",
        "            v += (1 - b2) * g * g\n",
        "            g *= g\n            v += (1 - b2) * g\n",
        "tests/optim/test_adam.py",
    ),
    mutant(
        "aliasing: Muon's step scales the gradient",
        "optim/muon.py",
        "        u = b * m + (1 - b) * g\n",
        "        g *= 1 - b\n        u = b * m + g\n",
        "tests/optim/test_muon.py",
    ),
    mutant(
        "aliasing: a matrix is scaled before it is made orthogonal",
        "optim/muon.py",
        "    x = u / largest  #",
        "    u /= largest\n    x = u.copy()  #",
        "tests/optim/test_muon.py",
    ),
    mutant(
        "aliasing: the weights that a cache hands out can be written",
        "layers/cache.py",
        "    x.flags.writeable = False\n    return x\n",
        "    return x\n",
        "tests/layers/test_cache.py",
    ),
    mutant(
        "aliasing: evaluation with averaged weights loses the last ones",
        "optim/averaging.py",
        "        kept = self.parameters.values.copy()\n",
        "        kept = self.parameters.values\n",
        "tests/optim/test_averaging.py",
    ),
    mutant(
        "aliasing: a packed layer shares its values with the copy of another dtype",
        "layers/layer.py",
        "        twin = self._twin()\n        twin.pack(dtype)\n",
        "        twin = self._twin()\n"
        "        if 'values' in vars(self) and self.values.dtype == dtype:\n"
        "            twin._bind(self.values, np.zeros(self.grads.shape, dtype))\n            return twin\n"
        "        twin.pack(dtype)\n",
        "tests/layers/test_layer.py",
    ),
]
