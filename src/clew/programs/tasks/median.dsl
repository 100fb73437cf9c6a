task median (xs: list) -> int
about     The element in the middle, in order of size; the upper of two.
requires  not (is_empty xs)
ensures   contains result xs
example   [6] -> 6
example   [1, 0, 5, 5, -9, 9, 7] -> 5
example   [2, 9, -7, -3] -> 2
example   [3, -7, -7, -8, 8] -> -7
example   [-6, -3, 5, 1, -3, 8, -6, 0, -7] -> -3
reference at (length xs / 2) (sort xs)
