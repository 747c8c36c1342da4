"""Counting of states and transitions, anew for each token."""


def naive_strategies(sequence: list[int]) -> dict[str, list[list[float]]]:
    """What each strategy predicts for every token but the first, counted anew for each."""
    found: dict[str, list[list[float]]] = {"unigram": [], "bigram": []}
    for t in range(1, len(sequence)):
        seen, last = sequence[:t], sequence[t - 1]
        followed = [seen[i + 1] for i in range(t - 1) if seen[i] == last]
        for name, counted in (("unigram", seen), ("bigram", followed)):
            found[name].append([(counted.count(j) + 1) / (len(counted) + 2) for j in (0, 1)])
    return found
