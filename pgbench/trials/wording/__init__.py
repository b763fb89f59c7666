"""What was found of a user's estimator, in plain words: a file for each of its sections."""

from pgbench.trials.wording.conclusion import conclusion
from pgbench.trials.wording.learner import print_learner
from pgbench.trials.wording.page import blank_page, print_examination

__all__ = ["blank_page", "conclusion", "print_examination", "print_learner"]
