task has_repeats (xs: list) -> bool
about     Whether an element stands there twice.
example   [] -> false
example   [4, 4] -> true
example   [3, -3, 1, 7] -> false
example   [5, 2, 8, 2] -> true
example   [0, 1, 2, 3, 4] -> false
reference length (unique xs) < length xs
