task first (xs: list) -> int
about     The first element.
requires  not (is_empty xs)
ensures   contains result xs
example   [8, -3] -> 8
example   [5, -2, 5, -1, 6, 0, 4] -> 5
example   [2, -5, -3, -6] -> 2
example   [-2, -1, -9, 3, 4] -> -2
example   [3, 3, -6, 6, -4, -8, -8, -1] -> 3
reference head xs
