"""The distance from 1 to the next number: a computed value is off by up to half of this, relative to its size."""

import numpy as np

EPSILON = float(np.finfo(np.float64).eps)
FLOAT32_EPSILON = float(np.finfo(np.float32).eps)
FLOAT16_EPSILON = float(np.finfo(np.float16).eps)
