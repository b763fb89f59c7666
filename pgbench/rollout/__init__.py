"""Simulation: trajectories, weights and batches, on the CPU or on a GPU."""
