"""From replicate gradients to bias, variance, intervals, tests and rates."""
