task smallest (xs: list) -> int
about     The smallest element.
requires  not (is_empty xs)
ensures   contains result xs
ensures   all (\x -> result <= x) xs
example   [5, -2] -> -2
example   [-5, -7, 2, 8, 8, -4, -4] -> -7
example   [-4, -2, 5, 7] -> -4
example   [9, 6, 1, 1] -> 1
example   [3, 9, 8, -4, 2, -6, -4, -5, 7] -> -6
reference minimum xs
