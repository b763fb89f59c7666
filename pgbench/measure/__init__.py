"""One setting measured: sampled gradients, their running sums, what is known of them."""
