"""Published networks: architectures, data, test settings and where the weights are."""
