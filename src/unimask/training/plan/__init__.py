"""What a training run will do, decided before anything runs."""
