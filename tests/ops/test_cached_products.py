import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scratchformer.ops import cached_products
from scratchformer.ops.cached_products import cached_row_products
from scratchformer.ops.rows import FEW_ROWS
from tests.closeness import assert_close
from tests.strategies import batch_shapes, normal, seeds


@given(
    batch=batch_shapes,
    m=st.integers(1, FEW_ROWS + 1),
    n=st.integers(0, 20),
    d=st.integers(0, 9),
    block=st.sampled_from([1, 64, 2**18]),
    seed=seeds,
)
@example(batch=(2,), m=2, n=20, d=3, block=64, seed=0)  # blocks of two rows
@example(batch=(), m=1, n=0, d=3, block=64, seed=0)
def test_blocks_give_the_product_of_the_whole(
    batch: tuple[int, ...], m: int, n: int, d: int, block: int, seed: int
) -> None:
    a, b = normal(seed, (*batch, m, d), (*batch, n, d))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cached_products, "BLOCK_BYTES", block)
        assert_close(cached_row_products(a, b), a @ b.mT, 1e-13)
        assert cached_row_products(a.astype(np.float32), b.astype(np.float32)).dtype == np.float32
