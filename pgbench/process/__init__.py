"""What is simulated, an estimator as tables for it, and trajectories as arrays."""
