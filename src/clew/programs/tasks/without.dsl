task without (n: int, xs: list) -> list
about     The elements that are not n.
ensures   not (contains n result)
example   2, [1, 3] -> [1, 3]
example   1, [2, 0, 1, 0] -> [2, 0, 0]
example   0, [1, 2, 2, 3, 0] -> [1, 2, 2, 3]
example   3, [0, 3, 1, 0, 1, 1, 1] -> [0, 1, 0, 1, 1, 1]
example   3, [2, 1, 1, 3, 1, 1, 0, 3] -> [2, 1, 1, 1, 1, 0]
reference filter (\x -> x != n) xs
