"""Types of arrays; shapes and units stand where they are used."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
SmallIntArray = NDArray[np.int32]
BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.intp]
