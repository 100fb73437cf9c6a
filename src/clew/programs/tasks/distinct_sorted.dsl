task distinct_sorted (xs: list) -> list
about     The different elements, from the smallest to the largest.
example   [3, 1] -> [1, 3]
example   [-1, -1, 0, 3, 4, -2] -> [-2, -1, 0, 3, 4]
example   [-2, 3, 0, 1, 3] -> [-2, 0, 1, 3]
example   [3, 4, 2, 4, -1] -> [-1, 2, 3, 4]
example   [3, 4, 0, 2, 3, -3, 3, 2] -> [-3, 0, 2, 3, 4]
reference sort (unique xs)
