"""Training: data, teachers, the loop. What is learned from, and how."""
