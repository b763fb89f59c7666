"""The unit of rounding, in which bounds on errors are counted."""

import sys

UNIT = sys.float_info.epsilon / 2
"""Largest relative error of one addition, product, quotient or root in double precision."""

FUNCTION = 16 * UNIT
"""The same of an elementary function such as exp or tanh, with room for any vectorised library."""
