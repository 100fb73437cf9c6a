task mean (xs: list) -> int
about     The mean, rounded down.
requires  not (is_empty xs)
ensures   minimum xs <= result && result <= maximum xs
example   [-8] -> -8
example   [-9, 9, -8, 5, -9] -> -3
example   [9, -8, -1, 0, -9, 6] -> -1
example   [3, -4, 3, 8] -> 2
example   [2, -2, 3, -7, 0, 8, 6, 5] -> 1
reference sum xs / length xs
