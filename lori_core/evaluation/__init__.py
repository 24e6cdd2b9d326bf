"""What a base with an adapter can do: answers, scores with intervals, interference in function, merges on trial."""
