"""What is declared: parameters of records, records found, variables of the dataset."""
