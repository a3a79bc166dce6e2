"""What the authors published: networks, what they were trained for, their tests and weights."""
