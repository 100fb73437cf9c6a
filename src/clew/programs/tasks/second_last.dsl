task second_last (xs: list) -> int
about     The last element but one.
requires  1 < length xs
ensures   contains result xs
example   [1, 3] -> 1
example   [3, -1, -9, 2, 6, 0] -> 6
example   [-4, 2, 3, -5, 1, 8, -6] -> 8
example   [-1, 7, 7, -2, -7, 7, -2] -> 7
example   [8, 2, -7, 1, 7, -4, 6, 9, 4] -> 9
reference at 1 (reverse xs)
