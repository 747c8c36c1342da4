import math

import numpy as np
from jaxtyping import Inexact, Shaped
from numpy import ndarray

from scratchformer.ops.attention import memory_order
from scratchformer.ops.checks import check_probability
from scratchformer.ops.contract import Backward, op
from scratchformer.ops.extremes import largest, least
from scratchformer.ops.masks import check_mask
from scratchformer.ops.rows import product_in_blocks, row_dot, row_products, row_sum, unbroadcast
from scratchformer.ops.tiles import Head, Tiles, place_of_tile

MOST_HELD, ONE_IN = 2**21, 32
"""One call holds at most MOST_HELD exponentials until backward, and none if that is less than one in ONE_IN of all: so
few save too little time for their memory."""


@op
def blockwise_attention(
    query: Inexact[ndarray, "*batch t_query d_k"],
    key: Inexact[ndarray, "*batch t_key d_k"],
    value: Inexact[ndarray, "*batch t_key d_v"],
    mask: Shaped[ndarray, "..."] | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    generator: np.random.Generator | None = None,
) -> tuple[Inexact[ndarray, "*batch t_query d_v"], Backward]:
    """Computes what `scaled_dot_product_attention` does, in memory that grows with T and not with its square.

    Scores are formed tile by tile. Let S = scale Q K^T + mask, and shift_i any shift of row i. Then

        e_ij = exp(S_ij - shift_i),    z_i = sum_j e_ij,    Y_i = sum_j e_ij V_j / z_i

    are sums over tiles. The forward pass keeps Y, shift and z, and at most MOST_HELD of the e. From these backward
    computes each other tile of P = e / z again:

        dV = P^T dY,    dS_ij = P_ij (sum_r dY_ir V_jr - sum_r dY_ir Y_ir),    dQ = scale dS K,    dK = scale dS^T Q.

    Arguments, output, gradients and errors are those of `scaled_dot_product_attention`, but dropout drops other
    elements. It takes a seed from the generator, and draws each tile from that seed, in forward and again in backward.

    Source: Dao et al., "FlashAttention", 2022, section 3.1 and appendix B; Rabe and Staats, "Self-attention Does Not
    Need O(n^2) Memory", 2021. The shift of a row is its maximum, or 0 where no score can be large.

    Derivation: `python -m scratchformer derive blockwise_attention`.
    """
    check_mask("blockwise_attention", mask, (*query.shape[:-1], key.shape[-2]))
    check_probability("blockwise_attention", "dropout", dropout)
    tiles = Tiles(mask, (*query.shape[:-1], key.shape[-2]), is_causal)
    if mask is not None or (is_causal and tiles.t_query > tiles.t_key):
        used_queries, used_keys = tiles.used()
        zero = query.dtype.type(0)
        query = np.where(used_queries, query, zero)
        key, value = np.where(used_keys, key, zero), np.where(used_keys, value, zero)
    scale = 1 / math.sqrt(query.shape[-1] or 1) if scale is None else float(scale)
    p = 0.0 if generator is None else float(dropout)
    seed = 0 if generator is None or p == 0 else int(generator.integers(2**63))

    def forward_tile(
        head: Head, rows: slice, columns: slice, q: ndarray, k: ndarray, shift: ndarray, out: ndarray | None
    ) -> ndarray:
        """e = exp(S - shift) of a tile (rows, columns)."""
        weights = row_products(q, k[columns], out=out)
        tiles.restrict(weights, head, rows, columns)
        if shift.any():  # never as a feature of the product: the largest scores would not be 0, but of any size
            weights -= shift
        return np.exp(weights, out=weights)

    def scaled_keep(head: Head, rows: slice, columns: slice) -> ndarray:
        """The factors of dropout for a tile, 0 or 1 / (1 - p); the same at every call."""
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        keep = np.random.default_rng([seed, *head, rows.start, columns.start]).random(shape, dtype=np.float32) >= p
        return keep * query.dtype.type(1 / (1 - p))

    held: list[ndarray] = []  # e of the first tiles
    num_weights, buffer = 0, tiles.buffer(query.dtype)
    num_scores = math.prod(query.shape[:-1]) * tiles.t_key
    most_held = MOST_HELD if num_scores <= ONE_IN * MOST_HELD else 0
    y = np.zeros_like(query, shape=(*query.shape[:-1], value.shape[-1]))
    shifts, totals = np.zeros((2, *query.shape[:-1], 1), query.dtype)  # shift and z, (..., T_query, 1) each
    for head in tiles.heads():
        k = np.asfortranarray(key[head])  # (T_key, d_k); products pack it faster
        longest_key = longest_keys(key[head], value[head])
        for rows in tiles.rows():
            q = query[head][rows] * scale  # (rows, d_k)
            shift = shift_of_rows(tiles, head, rows, q, k, longest_key)  # (rows, 1)
            total, y_rows = np.zeros_like(shift), np.zeros((len(q), value.shape[-1]), q.dtype)
            for columns in tiles.columns(rows):
                place = place_of_tile(buffer, rows, columns)
                num_weights += place.size
                is_held = num_weights <= most_held
                weights = forward_tile(head, rows, columns, q, k, shift, out=None if is_held else place)
                if is_held:
                    held.append(weights)
                total += row_sum(weights)
                dropped = weights * scaled_keep(head, rows, columns) if p > 0 else weights
                y_rows += product_in_blocks(dropped, value[head][columns])
            total = np.where(total == 0, 1, total)
            np.divide(y_rows, total, out=y[head][rows])
            shifts[head][rows], totals[head][rows] = shift, total

    def backward_tile(
        weights: ndarray, keep: ndarray | None, dy_mean: ndarray, mean: ndarray, v: ndarray, out: ndarray
    ) -> tuple[ndarray, ndarray]:
        """dS = P (dropout(dY V^T) - mean) of a tile, and dropout(P). One more feature of dY is -mean, and 1 in V."""
        dscores = row_products(dy_mean, v, out=out)  # dY V^T - mean
        if keep is None:
            dscores *= weights
            return dscores, weights
        dscores += mean
        dscores *= keep
        dscores -= mean
        dscores *= weights
        return dscores, weights * keep

    def backward(dy: ndarray) -> tuple[ndarray, ndarray, ndarray, ndarray | None]:
        dquery = np.zeros_like(query)
        dkey, dvalue = np.zeros_like(key, order=memory_order(key)), np.zeros_like(value, order=memory_order(value))
        dmask = np.zeros_like(tiles.mask) if tiles.is_additive else None
        first_tiles, buffers = iter(held), (tiles.buffer(query.dtype), tiles.buffer(query.dtype))
        for head in tiles.heads():
            k, v = np.asfortranarray(key[head]), with_one(value[head])  # (T_key, d_k), (T_key, d_v + 1)
            for rows in tiles.rows():
                q, dq = query[head][rows] * scale, np.zeros_like(query[head][rows])
                shift, dy_rows = shifts[head][rows], dy[head][rows]
                mean = row_dot(dy_rows, y[head][rows])  # sum_j P_ij dP_ij, (rows, 1)
                dy_mean = np.concatenate([dy_rows, -mean], axis=1)  # (rows, d_v + 1)
                for columns in tiles.columns(rows):
                    place, dplace = (place_of_tile(buffer, rows, columns) for buffer in buffers)
                    weights = next(first_tiles, None)  # (rows, columns)
                    if weights is None:
                        weights = forward_tile(head, rows, columns, q, k, shift, out=place)
                    # Here and not in dY, which may be too small for a quotient by z.
                    weights = np.divide(weights, totals[head][rows], out=place)
                    keep = scaled_keep(head, rows, columns) if p > 0 else None
                    dscores, dropped = backward_tile(weights, keep, dy_mean, mean, v[columns], out=dplace)
                    dq += product_in_blocks(dscores, key[head][columns])
                    dkey[head][columns] += dscores.T @ q
                    dvalue[head][columns] += dropped.T @ dy_rows
                    if dmask is not None:
                        part = tiles.mask_of(head, rows, columns)
                        dmask[part] += unbroadcast(dscores, dmask[part].shape)
                np.multiply(dq, scale, out=dquery[head][rows])
        return dquery, dkey, dvalue, None if dmask is None or mask is None else dmask.reshape(mask.shape)

    return y, backward


def with_one(x: ndarray) -> ndarray:
    """Appends a feature of ones to x (T, d), so that products add the last feature of the other factor.

    It is in Fortran's order, in which products pack their second factor faster.
    """
    wide = np.empty((len(x), x.shape[1] + 1), x.dtype, order="F")
    wide[:, :-1], wide[:, -1] = x, 1
    return wide


def longest_keys(key: ndarray, value: ndarray) -> ndarray:
    """The length of the longest key up to each one, (T_key, 1), from which scores are bounded.

    It is NaN from the first key on whose value is so large or small that its product with a weight that is not shifted
    could overflow or vanish.
    """
    moderate = np.exp(0.375 * np.log(np.finfo(value.dtype).max))  # with weights up to the root of the largest number
    with np.errstate(over="ignore"):
        longest = np.sqrt(np.maximum.accumulate(row_dot(key.real, key.real)))
    size = np.abs(value)
    if least(size) >= 1 / moderate and largest(size) <= moderate:
        return longest
    is_extreme = ((size > moderate) | ((size < 1 / moderate) & (size > 0))).any(axis=1, keepdims=True)
    return np.where(np.logical_or.accumulate(is_extreme), np.nan, longest)


def shift_of_rows(tiles: Tiles, head: Head, rows: slice, q: ndarray, key: ndarray, longest_key: ndarray) -> ndarray:
    """The shift c of each row (rows, 1), subtracted from its scores so that exponentials neither overflow nor vanish.

    The shift is 0 if |query| |key| keeps all scores of the row within half of the range of exponents, all values have
    usual sizes, and no additive mask can enlarge the scores. Else it is the largest score, or 0 if all are forbidden.
    Only keys up to the last one of the row count, so that not even its rounding depends on later keys.
    """
    shift = np.zeros((len(q), 1), q.dtype)
    with np.errstate(over="ignore"):
        bound = np.sqrt(row_dot(q.real, q.real)) * longest_key[tiles.last_key(rows)]
    is_small = bound <= np.log(np.finfo(q.dtype).max) / 2
    if is_small.all() and not tiles.is_additive:
        return shift
    highest = np.full((len(q), 1), -np.inf, q.real.dtype)
    for columns in tiles.columns(rows):
        scores = row_products(q, key[columns])
        tiles.restrict(scores, head, rows, columns)
        np.maximum(highest, scores.real.max(axis=1, keepdims=True), out=highest)
    is_free = np.isneginf(highest) if tiles.is_additive else np.isneginf(highest) | is_small
    return np.where(is_free, shift, highest.astype(q.dtype))
