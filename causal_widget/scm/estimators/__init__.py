"""Estimators of structural equations: LARS and LASSO from moments, nonlinear ones from raw responses."""
