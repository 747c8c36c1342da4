"""Which name belongs to the gradient of what: "dW", "grad_w" and "W_grad" to "W", and "dW" to "weights" as well."""

PREFIXES = ("d", "d_", "grad", "grad_", "gradient_", "gradients_", "g_", "delta_", "nabla_")
SUFFIXES = ("_grad", "_grads", "_gradient", "_gradients", "grad", "grads", "Grad", "Gradient", "_delta", "_bar")
EXACT, SPELLED, SHORTENED = 3, 2, 1
"""How well a name fits: the same, the same but for case, "_" and a plural, or an initial part of it."""


def fit(gradient: str, name: str, is_bare: bool = False) -> int:
    """How well the name of a gradient fits that of a parameter; 0 if it does not.

    A bare name stands where only gradients stand, as in a dict of them, so that it need not say that it is one.
    """
    stems = [gradient.removeprefix(prefix) for prefix in PREFIXES if gradient.startswith(prefix)]
    stems += [gradient.removesuffix(suffix) for suffix in SUFFIXES if gradient.endswith(suffix)]
    return max((_alike(stem, name) for stem in [*stems, *([gradient] if is_bare else [])]), default=0)


def best_fit(name: str, gradients: list[str], is_bare: bool = True) -> str | None:
    """The one name among those of gradients that fits best; None if there is none, or two fit alike."""
    ranks = {gradient: fit(gradient, name, is_bare) for gradient in gradients}
    best = max(ranks.values(), default=0)
    found = [gradient for gradient, rank in ranks.items() if rank == best]
    return found[0] if best and len(found) == 1 else None


def _alike(stem: str, name: str) -> int:
    if stem == name:
        return EXACT
    plain_stem, plain_name = _plain(stem), _plain(name)
    if plain_stem == plain_name:
        return SPELLED
    is_part = plain_name.startswith(plain_stem) or plain_stem.startswith(plain_name)
    return SHORTENED if plain_stem and plain_name and is_part else 0


def _plain(name: str) -> str:
    """In small letters, without "_" and the "s" or "es" of a plural."""
    plain = name.lower().replace("_", "")
    return plain.removesuffix("es") if plain.endswith("ses") else plain.removesuffix("s") or plain
