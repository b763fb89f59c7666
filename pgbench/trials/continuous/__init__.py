"""Small continuous-control problems with exact gradients, for losses with Gaussian actions."""
