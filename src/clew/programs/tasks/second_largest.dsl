task second_largest (xs: list) -> int
about     The largest element but one, those that are equal taken as one.
requires  1 < length (unique xs)
ensures   result < maximum xs
example   [-1, -2] -> -2
example   [-1, 1, -2, -1, 1] -> -1
example   [0, 0, 4, -3, 4, 3, -3] -> 3
example   [3, -1, 1, -2] -> 1
example   [-3, -2, 3, 1, 0, 1, 2, 3, 3] -> 2
reference at 1 (reverse (sort (unique xs)))
