"""What a person looks at besides formulas: the graph as a picture, what a model costs, a report on one page."""
