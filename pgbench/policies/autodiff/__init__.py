"""Functions of users, differentiated by a library: a file for each, which alone imports it."""
