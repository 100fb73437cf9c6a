task second (xs: list) -> int
about     The second element.
requires  1 < length xs
ensures   contains result xs
example   [-8, -9] -> -9
example   [5, 2, -1, 5, 2, -7, 0] -> 2
example   [3, 5, 6, 6, -9, 4] -> 5
example   [7, 7, -4, 4, -4] -> 7
example   [-1, -6, -6, -2, -2, -4, 9, -7, 7] -> -6
reference at 1 xs
