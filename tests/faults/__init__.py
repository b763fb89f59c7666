"""Runs under faults, by the hundred: ``make faults``.

Whatever happens to a run, it ends with a documented exit code and a sentence, and the plain
command given again leads to the dataset of an undisturbed run, with no intact cell measured twice.
``kinds.py`` says what is tried, ``process.py`` how a fault gets into a process, ``place.py`` what
is looked at afterwards.
"""
