"""What the command line ends with."""

OK, SOME_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
NOT_RIGHT = 1

EXPLAINED = (
    "exit codes: 0 fine, 1 some cells or checks failed (of test: biased, or could not be judged),"
    " 2 bad input, or output or memory that cannot be had, 130 interrupted by ^C, SIGTERM or SIGHUP"
)
