task largest (xs: list) -> int
about     The largest element.
requires  not (is_empty xs)
ensures   contains result xs
ensures   all (\x -> x <= result) xs
example   [6] -> 6
example   [1, -8, 4, 3] -> 4
example   [5, -7, -1, -8, -5, 5, 1] -> 5
example   [-7, 6, 7, -5, -6, -4, 0] -> 7
example   [-2, -6, 3, 3, 8, 9, 9, 2] -> 9
reference maximum xs
