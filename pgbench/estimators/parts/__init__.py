"""What several estimators share; no estimator is here."""
