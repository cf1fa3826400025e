"""Registration, regulators, priors and simulated counts."""
