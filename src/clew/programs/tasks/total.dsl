task total (xs: list) -> int
about     The sum of a list.
example   [2, -9] -> -7
example   [0, 2, -3, 6, 6] -> 11
example   [-2, -8, -8, 2, 2, 8, 0] -> -6
example   [-9, 9, -4, 6, 4] -> 6
example   [5, -9, 7, -4, 1, -3, 4, 5, 6] -> 12
reference sum xs
