task above (n: int, xs: list) -> list
about     The elements larger than n.
ensures   all (\x -> n < x) result
example   4, [-5] -> []
example   -5, [4, -1, 7, -8] -> [4, -1, 7]
example   0, [1, 6, -2, -5, 9, 3, -6] -> [1, 6, 9, 3]
example   1, [2, 6, -8, 0, 3, 5] -> [2, 6, 3, 5]
example   0, [0, 5, 4, 5, -4, -3, -8, 0] -> [5, 4, 5]
reference filter (\x -> n < x) xs
