"""Estimators put to the test on a fixed battery of small problems whose truth is known."""
