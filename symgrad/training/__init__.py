"""Training: initialisers, optimizers and schedules as expressions, the model's verbs, the loop over epochs."""
