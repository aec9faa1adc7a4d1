"""The verbs: each file walks the graph and reads one fact of every op that it meets."""
