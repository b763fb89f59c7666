"""What is declared: parameters, records, causes of bias, outcomes and variables of datasets.

What measures, stores, draws and documents them takes them from here.
"""
