"""Functions of other libraries put to the test: which there are, what is found, how it reads."""
