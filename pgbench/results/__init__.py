"""What a run leaves on disk: the journal, and the dataset made from it."""
