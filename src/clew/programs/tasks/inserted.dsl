task inserted (n: int, xs: list) -> list
about     A list with one number more, sorted.
ensures   contains n result
example   7, [2] -> [2, 7]
example   4, [-2, 0, 3, -4, 1] -> [-4, -2, 0, 1, 3, 4]
example   9, [4, -5, -3, 1, 4, 1] -> [-5, -3, 1, 1, 4, 4, 9]
example   -8, [7, 4, 2, -9, 0] -> [-9, -8, 0, 2, 4, 7]
example   5, [6, 8, -8, 7, -7, -9, -3, 0, -1] -> [-9, -8, -7, -3, -1, 0, 5, 6, 7, 8]
reference sort (cons n xs)
