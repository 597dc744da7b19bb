"""Language models: n-grams, and the neural one."""
