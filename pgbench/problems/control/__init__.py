"""Continuous control made finite: systems, grids over their states, and what joins the two."""
