"""The command line: one file a command, and tables for the terminal."""
